//! One lake that processes are killed over.

use std::collections::BTreeMap;

use satisflow_testkit::{Program, wait_for};

use super::{LIMIT, Place, TIME, TOPIC, brokers, free_port};
use crate::clock::shifted;

/// When a process ends.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    /// At a step, after so many passes.
    Step(&'static str, u64),
    /// Once it has committed so many records, or more; 0: with its partitions.
    After(i64),
}

pub struct Killed {
    pub place: Place,
    total: i64,
    runs: usize,
    group: String,
}

/// Small commits, so that many kills land in one stream.
const SMALL: &str = "flush_rows_max: 15, compact_interval_secs: 1, ";
/// Small buffers, since a commit holds what has gathered during the one before: the slowest step is passed
/// three times, each time after five commits of records at most, and half of the records have to do for that.
const SMALL_BUFFER: &str = "buffer_bytes_max: 16384, ";
/// Steps after which a vacuum has something to delete a week later.
const RECORDS_COMPACTED: &str = "records-in-compaction-after-log-entry";
const KPIS_COMPACTED: &str = "kpis-in-compaction-after-log-entry";
const EIGHT_DAYS_SECS: i64 = 8 * 86_400;

impl Killed {
    pub fn new(group: &str, total: i64) -> Killed {
        let place = Place::with(TOPIC, &brokers(), TIME);
        Killed { place, total, runs: 0, group: group.to_owned() }
    }

    /// A group for each process: that of a killed one is held until its session
    /// ends, and the lake's positions say where to go on, not the group's.
    fn configure(&self, lake: &str, kafka: &str) {
        let file = self.place.path().join("satisflow.yaml");
        self.place.configure("satisflow.yaml", TOPIC, &brokers(), TIME, free_port().unwrap(), free_port().unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        let group = format!("{kafka}group_id: {}-{}", self.group, self.runs);
        let text = text.replace("session.timeout.ms: 6000", "session.timeout.ms: 6000, fetch.message.max.bytes: 4096");
        let changed =
            text.replace("lake: { ", &format!("lake: {{ {lake}")).replace(&format!("group_id: {TOPIC}"), &group);
        assert_ne!(changed, text);
        std::fs::write(file, changed).unwrap();
    }

    /// Kills until the moments are used up, or records grow few.
    pub fn kill_while_records_remain(&mut self, left: &mut Vec<Moment>) {
        while self.committed() < self.total / 2 {
            let Some(moment) = left.pop() else { return };
            self.runs += 1;
            self.configure(SMALL, SMALL_BUFFER);
            match moment {
                Moment::Step(name, passes) => self.kill_at(name, passes),
                Moment::After(records) => self.kill_after(records),
            }
            let committed = self.committed();
            eprintln!("chaos: {moment:?}: {committed} of {} records", self.total);
            assert!(committed < self.total, "{moment:?}: nothing was left to do at the kill");
        }
    }

    fn kill_at(&mut self, name: &'static str, passes: u64) {
        let Some((part, _)) = name.split_once("-in-vacuum-") else {
            return self.kill_program_at(self.place.program.clone(), name, passes);
        };
        // A vacuum deletes what a compaction has replaced a week ago.
        let compacted = if part == "records" { RECORDS_COMPACTED } else { KPIS_COMPACTED };
        self.kill_program_at(self.place.program.clone(), compacted, 0);
        self.runs += 1;
        self.configure(SMALL, SMALL_BUFFER);
        self.kill_program_at(shifted(&self.place, EIGHT_DAYS_SECS), name, passes);
    }

    fn kill_program_at(&self, program: Program, name: &'static str, passes: u64) {
        let hit = self.place.path().join(format!("hit-{}", self.runs));
        let program = program.with_environment(&[
            ("SATISFLOW_FAILPOINT", format!("{name}:{passes}")),
            ("SATISFLOW_FAILPOINT_HIT", hit.to_string_lossy().into_owned()),
        ]);
        let mut running = program.start(&format!("run-{}", self.runs), &["run"]).unwrap();
        let code = running.wait(LIMIT).unwrap_or_else(|error| panic!("{name} was not reached: {error:#}"));
        assert_eq!(code, -1, "{name}: {}", running.log());
        assert_eq!(std::fs::read_to_string(hit).unwrap(), name, "{}", running.log());
    }

    fn kill_after(&self, records: i64) {
        let wanted = self.committed() + records;
        let mut running = self.place.program.start(&format!("run-{}", self.runs), &["run"]).unwrap();
        let is_reading = || running.log().contains("partition assigned").then_some(());
        wait_for("partitions", LIMIT, is_reading).unwrap_or_else(|error| panic!("{error:#}: {}", running.log()));
        let has_committed = || (self.committed() >= wanted).then_some(());
        wait_for("records", LIMIT, has_committed).unwrap_or_else(|error| panic!("{error:#}: {}", running.log()));
        running.signal("KILL").unwrap();
        assert_eq!(running.wait(LIMIT).unwrap(), -1, "{}", running.log());
    }

    /// Records that the log of `records` says are taken in, read without the program.
    fn committed(&self) -> i64 {
        let Ok(folder) = std::fs::read_dir(self.place.path().join("lake/records/_delta_log")) else { return 0 };
        let mut positions: BTreeMap<String, i64> = BTreeMap::new();
        let entries =
            folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        for entry in entries {
            for line in std::fs::read_to_string(entry).unwrap().lines() {
                let action: serde_json::Value = serde_json::from_str(line).unwrap();
                let Some(id) = action["txn"]["appId"].as_str() else { continue };
                let position = positions.entry(id.to_owned()).or_default();
                *position = (*position).max(action["txn"]["version"].as_i64().unwrap());
            }
        }
        positions.values().sum()
    }

    /// Takes in what is left, and closes every window.
    pub fn finish(&mut self) {
        self.runs += 1;
        self.configure("", "");
        self.place.run_to_the_end();
        assert_eq!(self.committed(), self.total);
    }
}
