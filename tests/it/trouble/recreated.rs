//! Topics that are deleted and created again under their name.

use satisflow_testkit::{Admin, Writer, wait_for};

use super::events;
use crate::place::{LIMIT, Place, brokers};

/// Deletes a topic and creates it again with more records than it had.
fn recreate(topic: &str, records: usize) {
    let admin = Admin::new(&brokers()).unwrap();
    admin.delete_topic(topic).unwrap();
    wait_for("the topic is gone", LIMIT, || admin.create_topic(topic, 1, &[]).ok()).unwrap();
    let writer = Writer::new(&brokers(), topic).unwrap();
    // The broker may still be about to let the old one go.
    wait_for("the new topic takes records", LIMIT, || writer.write(0, &events("new", records)).ok()).unwrap();
}

fn is_explained(told: &str, topic: &str) {
    let named = told.contains(&format!("of topic {topic}")) && told.contains("deleted and created again");
    assert!(named && told.contains("Give the new topic another name, or use a new lake"), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn a_topic_created_again_while_the_service_is_down_is_known_by_its_last_record() {
    for (topic, records) in [("again-more", 60), ("again-as-many", 40), ("again-fewer", 5)] {
        let place = Place::new(topic);
        Admin::new(&brokers()).unwrap().create_topic(topic, 1, &[]).unwrap();
        Writer::new(&brokers(), topic).unwrap().write(0, &events("old", 40)).unwrap();
        place.run_to_the_end();
        // The same topic is no trouble.
        place.run_to_the_end();
        recreate(topic, records);
        for _ in 0..2 {
            let done = place.program.run(&["run"]).unwrap();
            assert_eq!(done.code, 1, "{topic}: {}", done.err);
            is_explained(&done.err, topic);
        }
        let new = "select count(*) from events where event_id like 'new-%'";
        assert_eq!(place.number(new), Some(0), "{topic}");
    }
}

#[test]
fn a_topic_created_again_under_a_running_service_stops_it() {
    const TOPIC: &str = "again-running";
    let place = Place::new(TOPIC);
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 1, &[]).unwrap();
    Writer::new(&brokers(), TOPIC).unwrap().write(0, &events("old", 40)).unwrap();
    let mut running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(40);
    // Shorter than the old one: what outgrows it at once is not promised to be noticed.
    recreate(TOPIC, 10);
    assert_eq!(running.wait(LIMIT).unwrap(), 1, "{}", running.log());
    is_explained(&running.log(), TOPIC);
}

#[test]
fn partitions_added_under_a_running_service_are_read_from_their_beginning() {
    const TOPIC: &str = "growing";
    let place = Place::new(TOPIC);
    // The client asks for partitions every five minutes unless it is told to sooner.
    super::kafka_settings(&place, "properties: { topic.metadata.refresh.interval.ms: 1000 }");
    let admin = Admin::new(&brokers()).unwrap();
    admin.create_topic(TOPIC, 1, &[]).unwrap();
    let mut running = place.program.start("run", &["run"]).unwrap();
    Writer::new(&brokers(), TOPIC).unwrap().write(0, &events("first", 20)).unwrap();
    place.wait_for_rows(20);
    admin.add_partitions(TOPIC, 3).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    // Written before anybody reads them.
    (1..3).for_each(|partition| writer.write(partition, &events(&format!("added-{partition}"), 20)).unwrap());
    place.wait_for_rows(60);
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    place.run_to_the_end();
    assert_eq!(place.number("select count(*) from events"), Some(60));
    place.check_audit();
}
