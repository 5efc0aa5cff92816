//! The public data set of examples/drug-reviews, through Kafka.

use std::collections::BTreeMap;
use std::process::Command;

use satisflow_testkit::repository;

use crate::place::{LIMIT, Place, brokers};

#[test]
fn the_drug_reviews_give_the_known_means_to_the_last_digit() {
    let example = repository().join("examples/drug-reviews");
    let place = Place::new("drug-reviews");
    let fetched = Command::new(example.join("fetch.sh")).arg(place.path()).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    for file in ["catalog.yaml", "satisflow.yaml"] {
        std::fs::copy(example.join(file), place.path().join(file)).unwrap();
    }
    let text = std::fs::read_to_string(place.path().join("reviews.jsonl")).unwrap();
    let producer = satisflow_kafka::Producer::new(&brokers(), "drug-reviews", &BTreeMap::new()).unwrap();
    place.program.succeed(&["generate", "--events", "0", "--brokers", &brokers(), "--topic", "drug-reviews"]).unwrap();
    for (number, line) in (0..).zip(text.lines()) {
        producer.send(number, None, Some(line.as_bytes())).unwrap();
    }
    assert_eq!(producer.flush().unwrap().len(), 979);
    let environment = [
        ("BROKERS", brokers()),
        ("SQL_LISTEN", format!("127.0.0.1:{}", place.sql)),
        ("HTTP_LISTEN", format!("127.0.0.1:{}", place.http)),
    ];
    let program = place.program.clone().with_environment(&environment);
    let mut running = program.start("run", &["run", "--exit-at-end"]).unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    assert_eq!(place.number("select count(*) from events"), Some(979));
    let query = "select kpi, window_name, grouping_set, drug, condition, window_end, value, n from kpi_current";
    let rows = place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
    std::fs::write(place.path().join("kpis.csv"), rows).unwrap();
    let checked = Command::new("python3")
        .arg(example.join("check.py"))
        .args([place.path().join("reviews.jsonl"), place.path().join("kpis.csv")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{text}{}", String::from_utf8_lossy(&checked.stderr));
    assert!(text.contains("rating_mean 69.254341164454 979"), "{text}");
    assert!(text.contains("rating_mean_useful 82.499160228418 926"), "{text}");
    place.check_audit();
}
