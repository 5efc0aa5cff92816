//! Two processes of one group on one topic and lake.

use satisflow_testkit::{Guest, free_port, wait_for};

use crate::place::{self, LIMIT, Place, brokers, scrape};

#[test]
fn a_process_stopped_past_its_session_is_fenced_and_goes_on() {
    let place = Place::new("zombie");
    place.configure("second.yaml", "zombie", &brokers(), "time: data", free_port().unwrap(), free_port().unwrap());
    // Rows wait long before they are committed, so that the stopped process holds some.
    let file = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("flush_interval_ms: 200", "flush_interval_ms: 2000")).unwrap();
    let mut generating = place.generate("zombie", 1_000_000, &["--seed", "14", "--rate", "250"]).unwrap();
    let mut first = place.program.start("first", &["run"]).unwrap();
    place.wait_for_rows(300);
    first.signal("STOP").unwrap();
    let mut second = place.program.start("second", &["run", "--config", "second.yaml"]).unwrap();
    let assigned = || second.log().contains("partition assigned").then_some(());
    wait_for("the second process has partitions", LIMIT, assigned).unwrap();
    let held = place.number("select count(*) from events").unwrap();
    place.wait_for_rows(held + 1000);
    first.signal("CONT").unwrap();
    let fenced = || first.log().contains("another process has taken over this partition").then_some(());
    wait_for("the first process is fenced", LIMIT, fenced).unwrap();
    generating.signal("TERM").unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.stop_and_check([&mut first, &mut second]);
}

/// Two processes of one group; gives the second one's port for HTTP as well.
fn twins(topic: &str, properties: &str, more: &str) -> (Place, u16) {
    let place = Place::with(topic, &brokers(), more);
    let port = free_port().unwrap();
    place.configure("second.yaml", topic, &brokers(), more, free_port().unwrap(), port);
    for file in ["satisflow.yaml", "second.yaml"] {
        let text = std::fs::read_to_string(place.path().join(file)).unwrap();
        // Few small files: an unoptimised program takes long to read many.
        let lake = "flush_interval_ms: 1000, compact_interval_secs: 5";
        let changed = text
            .replace("session.timeout.ms: 6000", &format!("session.timeout.ms: 6000{properties}"))
            .replace("flush_interval_ms: 200", lake);
        std::fs::write(place.path().join(file), changed).unwrap();
    }
    (place, port)
}

const REBALANCES: usize = 20;

#[test]
fn twenty_rebalances_under_load_lose_and_double_nothing() {
    let (place, _) = twins("rebalanced", ", heartbeat.interval.ms: 200", "time: data");
    let mut first = place.program.start("first", &["run"]).unwrap();
    let mut second = place.program.start("second", &["run", "--config", "second.yaml"]).unwrap();
    let mut generating = place.generate("rebalanced", 1_000_000, &["--seed", "21", "--rate", "60"]).unwrap();
    place.wait_for_rows(1);
    let given = || (first.log() + &second.log()).matches("partition assigned").count();
    for _ in 0..REBALANCES {
        let before = given();
        Guest::join(&brokers(), "rebalanced", "rebalanced").unwrap().leave().unwrap();
        wait_for("partitions come back", LIMIT, || (given() > before).then_some(())).unwrap();
    }
    generating.signal("TERM").unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.stop_and_check([&mut first, &mut second]);
}

fn publishes(port: u16) -> bool {
    scrape(port).is_some_and(|text| place::publishes(&text))
}

#[test]
fn a_standby_publishes_when_the_scorer_is_killed_or_stopped() {
    let (place, second_port) = twins("standby", "", "time: data\ntakeover_after_ms: 8000");
    let first_port = place.http;
    let start_second = |name: &str| {
        let started = place.program.start(name, &["run", "--config", "second.yaml"]).unwrap();
        wait_for("the second publishes", LIMIT, || publishes(second_port).then_some(())).unwrap();
        wait_for("the first stands by", LIMIT, || (!publishes(first_port)).then_some(())).unwrap();
        started
    };
    let first_takes_over = || wait_for("the first publishes", LIMIT, || publishes(first_port).then_some(())).unwrap();
    let mut generating = place.generate("standby", 3000, &["--seed", "22", "--rate", "100", "--days", "5"]).unwrap();
    let first = place.program.start("first", &["run"]).unwrap();
    first_takes_over();
    let killed = start_second("killed");
    killed.signal("KILL").unwrap();
    first_takes_over();
    let mut second = start_second("second");
    second.signal("STOP").unwrap();
    first_takes_over();
    second.signal("CONT").unwrap();
    let noticed = || second.log().contains("another process publishes the KPIs now").then_some(());
    wait_for("the second stands by", LIMIT, noticed).unwrap();
    let alone = || (publishes(first_port) && !publishes(second_port)).then_some(());
    wait_for("the first publishes alone", LIMIT, alone).unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.wait_for_rows(3000);
    // Nothing more comes, and still somebody has to publish.
    first.signal("KILL").unwrap();
    wait_for("the second publishes again", LIMIT, || publishes(second_port).then_some(())).unwrap();
    let mut third = place.program.start("third", &["run"]).unwrap();
    wait_for("the third answers", LIMIT, || scrape(first_port)).unwrap();
    place.stop_and_check([&mut second, &mut third]);
}
