//! Retention that removes records before they are read.

use satisflow_testkit::{Admin, Writer, wait_for};

use super::{events, kafka_settings};
use crate::place::{LIMIT, Place, brokers};

const RESUME: &str = "on_lost_offsets: resume";

/// A topic of two partitions, `read` records of each of which are in the lake
/// and `unread` are not, the first `removed` of those gone from the broker.
fn with_removed(topic: &str, read: usize, unread: usize, removed: i64) -> Place {
    let (place, admin) = (Place::new(topic), Admin::new(&brokers()).unwrap());
    admin.create_topic(topic, 2, &[]).unwrap();
    let writer = Writer::new(&brokers(), topic).unwrap();
    (0..2).for_each(|partition| writer.write(partition, &events(&format!("read-{partition}"), read)).unwrap());
    place.run_to_the_end();
    (0..2).for_each(|partition| writer.write(partition, &events(&format!("unread-{partition}"), unread)).unwrap());
    let before = i64::try_from(read).unwrap() + removed;
    admin.delete_records(topic, 0, before).unwrap();
    place
}

fn lost_rows(place: &Place) -> String {
    let query = "select \"partition\", \"offset\", message from rejects where reason = 'offsets_lost' order by 1, 2";
    place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap()
}

#[test]
fn removed_records_stop_the_service_with_an_explanation() {
    let place = with_removed("lost-stop", 20, 15, 10);
    for _ in 0..2 {
        let done = place.program.run(&["run"]).unwrap();
        assert_eq!(done.code, 1, "{}", done.err);
        let told = "offsets 20 to 29 of partition 0 of topic lost-stop were removed by retention before they were read";
        assert!(done.err.contains(told) && done.err.contains("kafka.on_lost_offsets: resume"), "{}", done.err);
        assert!(!done.err.contains("panicked"), "{}", done.err);
    }
    assert_eq!(lost_rows(&place), "", "a stop leaves no row");
}

#[test]
fn removed_records_become_one_row_when_the_service_is_to_go_on() {
    let place = with_removed("lost-resume", 20, 15, 10);
    kafka_settings(&place, RESUME);
    // The second run finds nothing lost any more.
    for _ in 0..2 {
        place.run_to_the_end();
        let row = "0,20,offsets 20 to 29 were removed by retention before they were read";
        assert_eq!(lost_rows(&place).lines().skip(1).collect::<Vec<_>>(), [row]);
        assert_eq!(place.number("select count(*) from events"), Some(2 * 35 - 10));
        assert_eq!(place.number("select count(*) from rejects"), Some(1));
    }
    place.check_audit();
}

/// Removes unread records of both partitions behind the back of a running service.
/// Gives how many records the topic got.
fn remove_while_running(place: &Place, topic: &str, running: &satisflow_testkit::Running) -> i64 {
    const READ: usize = 10;
    const UNREAD: usize = 40;
    let writer = Writer::new(&brokers(), topic).unwrap();
    (0..2).for_each(|partition| writer.write(partition, &events(&format!("read-{partition}"), READ)).unwrap());
    place.wait_for_rows(2 * i64::try_from(READ).unwrap());
    running.signal("STOP").unwrap();
    // One answer of the broker may still be on its way: the first writes may
    // reach the service, so that more is removed than those.
    for round in 0..UNREAD {
        (0..2).for_each(|partition| {
            writer.write(partition, &events(&format!("unread-{partition}-{round}"), 1)).unwrap();
        });
    }
    let admin = Admin::new(&brokers()).unwrap();
    for (partition, kept) in [(0, 5), (1, 10)] {
        admin.delete_records(topic, partition, i64::try_from(READ + UNREAD).unwrap() - kept).unwrap();
    }
    running.signal("CONT").unwrap();
    2 * i64::try_from(READ + UNREAD).unwrap()
}

fn start(topic: &str, settings: Option<&str>) -> (Place, satisflow_testkit::Running) {
    let place = Place::new(topic);
    settings.into_iter().for_each(|settings| kafka_settings(&place, settings));
    Admin::new(&brokers()).unwrap().create_topic(topic, 2, &[]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    (place, running)
}

#[test]
fn records_removed_under_a_running_service_become_a_row_for_each_partition() {
    let (place, mut running) = start("lost-later", Some(RESUME));
    let written = remove_while_running(&place, "lost-later", &running);
    let lost = || (lost_rows(&place).lines().count() == 3).then_some(());
    wait_for("a row for each partition", LIMIT, lost).unwrap();
    // What comes after the gap is read as ever.
    let writer = Writer::new(&brokers(), "lost-later").unwrap();
    (0..2).for_each(|partition| writer.write(partition, &events(&format!("after-{partition}"), 5)).unwrap());
    let after = "select count(*) from events where event_id like 'after-%'";
    wait_for("records after the gap", LIMIT, || place.number(after).filter(|n| *n == 10)).unwrap();
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    place.run_to_the_end();
    // Every record is either an event or in exactly one gap.
    let mut gone = 0;
    for row in lost_rows(&place).lines().skip(1) {
        let words: Vec<&str> = row.split([',', ' ']).collect();
        let [_, offset, "offsets", from, "to", to, ..] = words[..] else { panic!("{row}") };
        assert_eq!(offset, from, "{row}");
        gone += to.parse::<i64>().unwrap() - from.parse::<i64>().unwrap() + 1;
    }
    assert!(gone > 0);
    assert_eq!(place.number("select count(*) from events"), Some(written + 10 - gone));
    assert_eq!(place.number("select count(*) from rejects"), Some(2));
    place.check_audit();
}

#[test]
fn records_removed_under_a_running_service_stop_it_with_an_explanation() {
    let (place, mut running) = start("lost-later-stop", None);
    remove_while_running(&place, "lost-later-stop", &running);
    assert_eq!(running.wait(LIMIT).unwrap(), 1, "{}", running.log());
    let log = running.log();
    assert!(log.contains("of topic lost-later-stop were removed by retention before they were read"), "{log}");
    assert!(log.contains("kafka.on_lost_offsets: resume") && !log.contains("panicked"), "{log}");
}
