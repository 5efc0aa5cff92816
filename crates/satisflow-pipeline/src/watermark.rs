//! Up to where windows are final.
//!
//! - A definition's watermark is the least event time over the partitions of
//!   the topics that it reads, less the allowed lateness. It never goes back.
//! - A partition whose position has stood at the broker's end for a while is
//!   idle and left out, unless its source is to be waited for.
//! - A source is waited for up to a limit. What is published after that is
//!   incomplete.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use satisflow_config::TimeMode;
use satisflow_kpi::Frontier;

#[derive(Debug, Clone, Copy)]
struct PartitionTime {
    /// Latest event time, µs.
    latest: Option<i64>,
    /// When its last row came.
    quiet_since: Instant,
    /// Since when it is known to stand at the broker's end.
    at_end_since: Option<Instant>,
    /// Whether this process reads it, and so knows best where it stands.
    own: bool,
}

/// How watermarks are made.
#[derive(Debug, Clone)]
pub(crate) struct WatermarkRules {
    pub(crate) mode: TimeMode,
    /// How late an event may come, µs.
    pub(crate) lateness: i64,
    pub(crate) idle_after: Duration,
    /// Topics to be waited for, and for how long.
    pub(crate) holds: BTreeMap<String, Duration>,
}

/// The watermark of each definition.
#[derive(Debug)]
pub(crate) struct Watermarks {
    rules: WatermarkRules,
    /// Topics of each definition; `None`: all.
    topics: Vec<Option<Vec<Arc<str>>>>,
    partitions: BTreeMap<(String, i32), PartitionTime>,
    values: Vec<i64>,
}

impl PartitionTime {
    /// How long it has been idle; `None` while it is not.
    fn idle(&self, now: Instant, idle_after: Duration) -> Option<Duration> {
        let since = self.at_end_since?.max(self.quiet_since);
        now.saturating_duration_since(since).checked_sub(idle_after)
    }
}

impl Watermarks {
    pub(crate) fn new(rules: WatermarkRules, topics: Vec<Option<Vec<Arc<str>>>>) -> Watermarks {
        let values = vec![i64::MIN; topics.len()];
        Watermarks { rules, topics, partitions: BTreeMap::new(), values }
    }

    /// Goes on from a definition's watermark that was published.
    pub(crate) fn resume(&mut self, definition: usize, published: i64) {
        let value = &mut self.values[definition];
        *value = (*value).max(published);
    }

    fn partition(&mut self, topic: &str, partition: i32, now: Instant) -> &mut PartitionTime {
        let new = PartitionTime { latest: None, quiet_since: now, at_end_since: None, own: false };
        self.partitions.entry((topic.to_owned(), partition)).or_insert(new)
    }

    /// A partition has changed hands: nothing is known of its end.
    pub(crate) fn moved(&mut self, topic: &str, partition: i32, own: bool, now: Instant) {
        let state = self.partition(topic, partition, now);
        (state.at_end_since, state.quiet_since, state.own) = (None, now, own);
    }

    /// An event of this time (µs) was scored.
    pub(crate) fn observe(&mut self, topic: &str, partition: i32, event_time: i64, now: Instant) {
        let state = self.partition(topic, partition, now);
        state.latest = state.latest.max(Some(event_time));
        state.quiet_since = now;
    }

    /// Latest event time of each partition, µs.
    pub(crate) fn latest(&self) -> Vec<(String, i32, i64)> {
        let latest = |((topic, partition), state): (&(String, i32), &PartitionTime)| {
            Some((topic.clone(), *partition, state.latest?))
        };
        self.partitions.iter().filter_map(latest).collect()
    }

    /// Whether everything the broker has of a partition was read.
    pub(crate) fn progress(&mut self, topic: &str, partition: i32, at_end: bool, now: Instant) {
        let state = self.partition(topic, partition, now);
        state.at_end_since = if at_end { state.at_end_since.or(Some(now)) } else { None };
    }

    /// The same of a partition that another process may read: by the group's offsets.
    pub(crate) fn foreign(&mut self, topic: &str, partition: i32, at_end: bool, now: Instant) {
        if !self.partition(topic, partition, now).own {
            self.progress(topic, partition, at_end, now);
        }
    }

    /// Up to where each definition is final at this moment; `clock` in µs.
    pub(crate) fn frontiers(&mut self, now: Instant, clock: i64) -> Vec<Frontier> {
        (0..self.values.len()).map(|definition| self.frontier(definition, now, clock)).collect()
    }

    fn frontier(&mut self, definition: usize, now: Instant, clock: i64) -> Frontier {
        let holds = &self.rules.holds;
        let read = self.read_by(definition);
        let in_time = |topic: &str, idle: Duration| holds.get(topic).is_none_or(|hold| idle >= *hold);
        let least = self.least(&read, now, clock, in_time);
        let complete = match read.iter().any(|(topic, _)| holds.contains_key(*topic)) {
            true => self.least(&read, now, clock, |topic, _| !holds.contains_key(topic)).unwrap_or(i64::MIN),
            false => i64::MAX,
        };
        let value = self.values[definition].max(least.unwrap_or(i64::MIN));
        self.values[definition] = value;
        Frontier { watermark: value, complete, closed: None }
    }

    fn read_by(&self, definition: usize) -> Vec<(&str, PartitionTime)> {
        let topics = self.topics[definition].as_ref();
        let reads = |topic: &str| topics.is_none_or(|all| all.iter().any(|t| **t == *topic));
        self.partitions.iter().map(|((topic, _), state)| (topic.as_str(), *state)).filter(|p| reads(p.0)).collect()
    }

    /// The least time of the partitions that are not idle; `released` says
    /// whether one that has been idle for so long is left out.
    fn least(
        &self,
        read: &[(&str, PartitionTime)],
        now: Instant,
        clock: i64,
        released: impl Fn(&str, Duration) -> bool,
    ) -> Option<i64> {
        let is_out = |(topic, state): &&(&str, PartitionTime)| {
            state.idle(now, self.rules.idle_after).is_some_and(|idle| released(topic, idle))
        };
        let busy: Vec<Option<i64>> = read.iter().filter(|p| !is_out(p)).map(|(_, state)| state.latest).collect();
        let least = match (read.is_empty(), busy.is_empty(), self.rules.mode) {
            // Before the first partition is known nothing is final.
            (true, ..) | (_, true, TimeMode::Data) => None,
            (_, true, TimeMode::Live) => Some(clock),
            _ => busy.into_iter().min().flatten(),
        };
        least.map(|time| time.saturating_sub(self.rules.lateness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// One definition that reads everything, one that reads topic `s` only; `s` is held for an hour.
    fn watermarks(mode: TimeMode) -> (Watermarks, Instant) {
        let start = Instant::now();
        let holds = BTreeMap::from([("s".to_owned(), Duration::from_secs(3600))]);
        let rules = WatermarkRules { mode, lateness: 5, idle_after: IDLE, holds };
        let mut watermarks = Watermarks::new(rules, vec![None, Some(vec!["s".into()])]);
        watermarks.moved("t", 0, true, start);
        watermarks.moved("t", 1, true, start);
        (watermarks, start)
    }

    fn first(watermarks: &mut Watermarks, now: Instant) -> i64 {
        watermarks.frontiers(now, 1_000)[0].watermark
    }

    #[test]
    fn the_slowest_partition_holds_it_back_and_it_never_goes_back() {
        let (mut watermarks, start) = watermarks(TimeMode::Live);
        watermarks.observe("t", 0, 100, start);
        assert_eq!(first(&mut watermarks, start), i64::MIN);
        watermarks.observe("t", 1, 40, start);
        assert_eq!(first(&mut watermarks, start), 35);
        watermarks.observe("t", 2, 10, start);
        assert_eq!(first(&mut watermarks, start), 35);
    }

    #[test]
    fn a_partition_is_idle_only_at_the_brokers_end() {
        let (mut watermarks, start) = watermarks(TimeMode::Live);
        watermarks.observe("t", 0, 100, start);
        let later = start + IDLE * 2;
        assert_eq!(first(&mut watermarks, later), i64::MIN);
        watermarks.progress("t", 1, true, start);
        assert_eq!(first(&mut watermarks, later), 95);
        watermarks.progress("t", 1, false, later);
        watermarks.observe("t", 0, 900, later);
        assert_eq!(first(&mut watermarks, later), 95);
    }

    #[test]
    fn when_all_are_idle_the_clock_goes_on_in_live_time_only() {
        for (mode, expected) in [(TimeMode::Live, 995), (TimeMode::Data, i64::MIN)] {
            let (mut watermarks, start) = watermarks(mode);
            watermarks.progress("t", 0, true, start);
            watermarks.progress("t", 1, true, start);
            assert_eq!(first(&mut watermarks, start + IDLE), expected);
        }
    }

    #[test]
    fn nothing_is_final_before_a_partition_is_known() {
        let (mut watermarks, start) = watermarks(TimeMode::Live);
        assert_eq!(watermarks.frontiers(start, 1_000)[1], Frontier { complete: i64::MAX, ..Frontier::NONE });
    }

    #[test]
    fn a_definition_waits_for_the_topics_that_it_reads() {
        let (mut watermarks, start) = watermarks(TimeMode::Live);
        watermarks.observe("t", 0, 100, start);
        watermarks.observe("t", 1, 100, start);
        watermarks.observe("s", 0, 700, start);
        let frontiers = watermarks.frontiers(start, 1_000);
        assert_eq!([frontiers[0].watermark, frontiers[1].watermark], [95, 695]);
    }

    #[test]
    fn a_held_source_is_waited_for_and_what_follows_is_incomplete() {
        let (mut watermarks, start) = watermarks(TimeMode::Live);
        for (topic, partition, time) in [("t", 0, 900), ("t", 1, 900), ("s", 0, 100)] {
            watermarks.observe(topic, partition, time, start);
        }
        watermarks.progress("s", 0, true, start);
        let mut at = |now| {
            let frontier = watermarks.frontiers(now, 1_000)[0];
            (frontier.watermark, frontier.complete)
        };
        assert_eq!(at(start + IDLE), (95, 95));
        assert_eq!(at(start + IDLE + Duration::from_secs(3600)), (895, 95));
    }
}
