//! More ids than memory holds: the lake is asked, and nothing changes.

use satisflow_testkit::wait_for;

use crate::place::{LIMIT, Place, brokers};

const FEW: &str = "time: data\nlate_panes: 2\nlimits: { identities_max: 50 }";

#[test]
fn with_few_ids_in_memory_and_a_restart_every_duplicate_and_conflict_is_known() {
    let place = Place::with("few", &brokers(), FEW);
    let mut generating = place.generate("few", 1500, &["--seed", "61", "--rate", "75", "--days", "5"]).unwrap();
    let mut first = place.program.start("first", &["run"]).unwrap();
    place.wait_for_rows(700);
    let asked = || place.metric("satisflow_dedup_asked_ids_total").filter(|ids| *ids > 0.0);
    wait_for("ids asked of the lake", LIMIT, asked).unwrap();
    let scorer_asked = || place.metric("satisflow_scorer_asked_ids_total").filter(|ids| *ids > 0.0);
    wait_for("ids asked by the scorer", LIMIT, scorer_asked).unwrap();
    let held = place.metric("satisflow_dedup_ids").unwrap();
    assert!(held <= 50.0, "{held} ids held");
    first.signal("TERM").unwrap();
    assert_eq!(first.wait(LIMIT).unwrap(), 0, "{}", first.log());
    let before = place.number("select count(*) from events").unwrap();
    assert!(before < 1450, "the stop was not in the middle: {before}");
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}

#[test]
fn exact_duplicates_300_days_late_are_known_from_the_lake() {
    let place = Place::with("again", &brokers(), FEW);
    let early = ["--seed", "71", "--clean", "--days", "2", "--departments", "2"];
    place.generate_all("again", 100, &early);
    place.run_to_the_end();
    let mut truth = std::fs::read_to_string(place.path().join("truth.jsonl")).unwrap();
    place.generate_all("again", 100, &["--seed", "72", "--clean", "--days", "5", "--start", "2027-07-18T14:13:20Z"]);
    truth += &std::fs::read_to_string(place.path().join("truth.jsonl")).unwrap();
    place.run_to_the_end();
    place.generate_all("again", 100, &early);
    place.run_to_the_end();
    assert_eq!(place.number("select count(*) from duplicates"), Some(100));
    std::fs::write(place.path().join("truth.jsonl"), truth).unwrap();
    assert_eq!(place.number("select count(*) from events"), Some(200));
    place.check_audit();
    place.check_oracle();
}
