//! The engine's state is a cache: with it, without it, or with a damaged one,
//! a start goes on to the same digits.

use std::path::PathBuf;

use satisflow_testkit::{Running, wait_for};

use crate::place::{LIMIT, Place, brokers};

fn snapshots(place: &Place) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(place.path().join("lake/kpis/_snapshots")) else { return Vec::new() };
    let is_whole = |path: &PathBuf| !path.to_string_lossy().contains('#');
    let mut found: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).filter(is_whole).collect();
    found.sort();
    found
}

/// Starts the service, waits for what its log says, and for a snapshot newer than those there are.
fn run_until(place: &Place, name: &str, says: &str) -> Running {
    let before = snapshots(place);
    let running = place.program.start(name, &["run"]).unwrap();
    wait_for(says, LIMIT, || running.log().contains(says).then_some(())).unwrap();
    wait_for("a new snapshot", LIMIT, || (snapshots(place).last() > before.last()).then_some(())).unwrap();
    running
}

#[test]
fn a_start_goes_on_from_a_snapshot_or_without_one() {
    let place = Place::with("snapshots", &brokers(), "time: data\nlate_panes: 2");
    let mut generating = place.generate("snapshots", 2400, &["--seed", "5", "--rate", "60"]).unwrap();
    let first = run_until(&place, "first", "the engine is built from the events");
    first.signal("KILL").unwrap();
    drop(first);
    let second = run_until(&place, "second", "goes on from a snapshot");
    second.signal("KILL").unwrap();
    drop(second);
    for (index, path) in snapshots(&place).iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        if index % 2 == 0 {
            bytes[middle] ^= 4
        } else {
            bytes.truncate(middle)
        }
        std::fs::write(path, bytes).unwrap();
    }
    let mut third = run_until(&place, "third", "the engine is built from the events");
    assert!(third.log().contains("this snapshot is not used"), "{}", third.log());
    third.signal("TERM").unwrap();
    assert_eq!(third.wait(LIMIT).unwrap(), 0, "{}", third.log());
    std::fs::remove_dir_all(place.path().join("lake/kpis/_snapshots")).unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.check_at_the_end();
}
