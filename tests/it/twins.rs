//! Two processes of one group on one topic and lake.

use satisflow_testkit::{free_port, wait_for};

use crate::place::{LIMIT, Place, brokers};

#[test]
fn a_process_stopped_past_its_session_is_fenced_and_goes_on() {
    let place = Place::new("zombie");
    place.configure("second.yaml", "zombie", &brokers(), "time: data", free_port().unwrap(), free_port().unwrap());
    // Rows wait long before they are committed, so that the stopped process holds some.
    let file = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("flush_interval_ms: 200", "flush_interval_ms: 2000")).unwrap();
    let mut generating = place.generate("zombie", 6000, &["--seed", "14", "--rate", "250"]).unwrap();
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
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.wait_for_rows(6000);
    for process in [&mut first, &mut second] {
        process.signal("TERM").unwrap();
        assert_eq!(process.wait(LIMIT).unwrap(), 0, "{}", process.log());
    }
    place.run_to_the_end();
    place.check_conservation();
    place.check_audit();
    place.check_oracle();
}
