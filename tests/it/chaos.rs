//! Golden versus killed: a stream with every trouble, taken in by processes that
//! are killed again and again, gives the tables of a run that was not.
//!
//! `SATISFLOW_CHAOS_SEED` replays a run, `SATISFLOW_CHAOS_KILLS` makes it longer,
//! `SATISFLOW_CHAOS_ONLY` shorter.

mod killing;
mod steps;

use satisflow_testkit::free_port;

use crate::place::{LIMIT, Place, brokers};
use killing::{Killed, Moment};
use steps::{Seeded, moments};

const TOPIC: &str = "chaos";
const EVENTS: u32 = 2500;
/// Random kills beside one at each step.
const RANDOM: usize = 10;
const TIME: &str = "time: data\nlate_panes: 2";

/// Rows that must be equal: what was taken in, and what was computed.
fn tables(place: &Place) -> Vec<(&'static str, String)> {
    let csv = |query: &str| {
        place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap()
    };
    let rows = |view: &str| {
        let head = csv(&format!("select * from {view} limit 1"));
        let columns = head.lines().next().unwrap().split(',').filter(|name| *name != "ingest_time");
        let columns = columns.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        csv(&format!("select {columns} from {view} order by \"partition\", \"offset\""))
    };
    vec![
        ("events", rows("events")),
        ("rejects", rows("rejects")),
        ("duplicates", rows("duplicates")),
        ("kpi_current", place.kpis()),
    ]
}

/// The first line that differs says more than two long texts.
fn check_equal(golden: &[(&'static str, String)], found: &[(&'static str, String)]) {
    for ((name, golden), (_, found)) in golden.iter().zip(found) {
        let differs = golden.lines().zip(found.lines()).find(|(golden, found)| golden != found);
        assert_eq!(differs, None, "{name}: golden, and killed");
        assert_eq!(golden.lines().count(), found.lines().count(), "{name}: rows");
    }
}

fn golden(seed: u64) -> (Place, Vec<(&'static str, String)>) {
    let place = Place::with(TOPIC, &brokers(), TIME);
    // In small batches, which are read from the partitions by turns: windows close all along the stream.
    place.generate_all(TOPIC, EVENTS, &["--seed", &(seed % 1_000_000).to_string(), "--rate", "1000"]);
    place.run_to_the_end();
    place.check_conservation();
    place.check_oracle();
    let tables = tables(&place);
    for (name, rows) in &tables {
        assert!(rows.lines().count() > 10, "{name} has hardly any rows");
    }
    (place, tables)
}

#[test]
#[cfg_attr(not(feature = "failpoints"), ignore = "needs `--features failpoints`, which `make test` gives")]
fn killed_at_every_step_it_gives_the_rows_of_a_run_that_was_not() {
    let mut seeded = Seeded::from_environment();
    let kills = seeded.kills(steps::ALL.len() + RANDOM);
    let (golden_place, golden) = golden(seeded.seed);
    let total: i64 = golden_place.truth().values().sum();
    let mut left: Vec<Moment> = moments(&mut seeded, kills);
    let mut lakes = 0;
    while !left.is_empty() {
        lakes += 1;
        let mut killed = Killed::new(&format!("{TOPIC}-{lakes}"), total);
        let before = left.len();
        killed.kill_while_records_remain(&mut left);
        assert!(left.len() < before, "a lake without a kill");
        killed.finish();
        check_equal(&golden, &tables(&killed.place));
        killed.place.check_audit();
        eprintln!("chaos: lake {lakes} is equal after {} kills, {} to go", before - left.len(), left.len());
    }
}
