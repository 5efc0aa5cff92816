//! TLS and logins, by the client's own properties.

use std::sync::LazyLock;

use satisflow_testkit::{Admin, Kafka, Login, Writer, wait_for};

use super::{events, kafka_settings};
use crate::place::{LIMIT, Place};

const LOGIN: Login = Login { user: "reader", password: "right-PASSWORD-7413" };
const WRONG: &str = "wrong-PASSWORD-2906";

static SECURED: LazyLock<Kafka> = LazyLock::new(|| Kafka::start_secured(&LOGIN).unwrap());

/// A topic with ten records, and a configuration that reaches it by the secured listener.
fn place(topic: &str, properties: &str) -> Place {
    Admin::new(&SECURED.brokers()).unwrap().create_topic(topic, 1, &[]).unwrap();
    Writer::new(&SECURED.brokers(), topic).unwrap().write(0, &events(topic, 10)).unwrap();
    let place = Place::with(topic, &SECURED.secured_brokers().unwrap(), "time: data");
    kafka_settings(&place, &format!("properties: {{ security.protocol: SASL_SSL, {properties} }}"));
    place
}

fn login(mechanism: &str, password: &str) -> String {
    let user = LOGIN.user;
    format!("sasl.mechanism: {mechanism}, sasl.username: {user}, sasl.password: {password}")
}

fn trust() -> String {
    format!("ssl.ca.location: '{}'", SECURED.certificate().display())
}

#[test]
fn records_are_read_over_tls_with_either_login() {
    for (topic, mechanism) in [("plain-login", "PLAIN"), ("scram-login", "SCRAM-SHA-256")] {
        let place = place(topic, &format!("{}, {}", trust(), login(mechanism, LOGIN.password)));
        place.run_to_the_end();
        assert_eq!(place.number("select count(*) from events"), Some(10), "{mechanism}");
    }
}

/// Runs until something is told, then stops; gives the whole log.
fn told(place: &Place, told: &str) -> String {
    let mut running = place.program.start("run", &["run"]).unwrap();
    let waited = wait_for(told, LIMIT, || running.log().contains(told).then_some(()));
    waited.unwrap_or_else(|error| panic!("{error}: {}", running.log()));
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    running.log()
}

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    for (topic, mechanism) in [("plain-wrong", "PLAIN"), ("scram-wrong", "SCRAM-SHA-256")] {
        let place = place(topic, &format!("{}, {}", trust(), login(mechanism, WRONG)));
        let log = told(&place, "check `sasl.*` and `security.protocol` in `kafka.properties`");
        assert!(log.contains(&SECURED.secured_brokers().unwrap()), "{log}");
        assert!(!log.contains(WRONG) && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_told() {
    let place = place("untrusted", &login("PLAIN", LOGIN.password));
    let log = told(&place, "check `ssl.*` and `security.protocol` in `kafka.properties`");
    assert!(log.contains("certificate") && !log.contains(LOGIN.password), "{log}");
}

#[test]
fn a_property_that_the_client_refuses_is_named_without_any_password() {
    let place = place("refused", &format!("ssl.ca.location: nowhere.pem, {}", login("PLAIN", LOGIN.password)));
    let done = place.program.run(&["run"]).unwrap();
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("ssl.ca.location"), "{}", done.err);
    assert!(!done.err.contains(LOGIN.password) && !done.err.contains("panicked"), "{}", done.err);
}
