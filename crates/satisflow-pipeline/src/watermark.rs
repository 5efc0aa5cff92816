//! Up to where windows are final.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use satisflow_config::TimeMode;

#[derive(Debug, Clone, Copy)]
struct PartitionTime {
    /// Latest event time, µs.
    latest: Option<i64>,
    /// When its last row came.
    quiet_since: Instant,
    /// Since when it stands at the broker's end; known of own partitions only.
    at_end_since: Option<Instant>,
    own: bool,
}

/// A partition that another process reads is idle after this many idle times
/// without a row: how far it lags is not known here.
const FOREIGN_IDLE_FACTOR: u32 = 3;

/// The least event time over all partitions that are not idle, minus the
/// allowed lateness; it never goes back.
#[derive(Debug)]
pub(crate) struct Watermark {
    mode: TimeMode,
    lateness: i64,
    idle_after: Duration,
    partitions: BTreeMap<(String, i32), PartitionTime>,
    value: i64,
}

impl Watermark {
    pub(crate) fn new(mode: TimeMode, lateness: i64, idle_after: Duration) -> Watermark {
        Watermark { mode, lateness, idle_after, partitions: BTreeMap::new(), value: i64::MIN }
    }

    /// Goes on from a watermark that was published.
    pub(crate) fn resume(&mut self, published: i64) {
        self.value = self.value.max(published);
    }

    fn partition(&mut self, topic: &str, partition: i32, now: Instant) -> &mut PartitionTime {
        let new = PartitionTime { latest: None, quiet_since: now, at_end_since: None, own: false };
        self.partitions.entry((topic.to_owned(), partition)).or_insert(new)
    }

    pub(crate) fn own(&mut self, topic: &str, partition: i32, own: bool, now: Instant) {
        let state = self.partition(topic, partition, now);
        (state.own, state.at_end_since, state.quiet_since) = (own, None, now);
    }

    pub(crate) fn observe(&mut self, topic: &str, partition: i32, event_time: i64, now: Instant) {
        let state = self.partition(topic, partition, now);
        state.latest = state.latest.max(Some(event_time));
        state.quiet_since = now;
    }

    pub(crate) fn progress(&mut self, topic: &str, partition: i32, at_end: bool, now: Instant) {
        let state = self.partition(topic, partition, now);
        state.at_end_since = if at_end { state.at_end_since.or(Some(now)) } else { None };
    }

    fn is_idle(&self, state: &PartitionTime, now: Instant) -> bool {
        let since = |at: Instant| now.saturating_duration_since(at);
        match (state.own, state.at_end_since) {
            (true, Some(at)) => since(at) >= self.idle_after && since(state.quiet_since) >= self.idle_after,
            (true, None) => false,
            (false, _) => since(state.quiet_since) >= self.idle_after * FOREIGN_IDLE_FACTOR,
        }
    }

    /// The watermark at this moment; `clock` in µs.
    pub(crate) fn at(&mut self, now: Instant, clock: i64) -> i64 {
        let busy: Vec<&PartitionTime> = self.partitions.values().filter(|p| !self.is_idle(p, now)).collect();
        let least = match (busy.is_empty(), self.mode) {
            (true, TimeMode::Live) => Some(clock),
            (true, TimeMode::Data) => None,
            (false, _) => busy.iter().map(|p| p.latest).min().flatten(),
        };
        if let Some(least) = least {
            self.value = self.value.max(least.saturating_sub(self.lateness));
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    fn watermark(mode: TimeMode) -> (Watermark, Instant) {
        let start = Instant::now();
        let mut watermark = Watermark::new(mode, 5, IDLE);
        watermark.own("t", 0, true, start);
        watermark.own("t", 1, true, start);
        (watermark, start)
    }

    #[test]
    fn the_slowest_partition_holds_it_back_and_it_never_goes_back() {
        let (mut watermark, start) = watermark(TimeMode::Live);
        watermark.observe("t", 0, 100, start);
        assert_eq!(watermark.at(start, 1_000), i64::MIN);
        watermark.observe("t", 1, 40, start);
        assert_eq!(watermark.at(start, 1_000), 35);
        watermark.own("t", 2, true, start);
        watermark.observe("t", 2, 10, start);
        assert_eq!(watermark.at(start, 1_000), 35);
    }

    #[test]
    fn a_partition_is_idle_only_at_the_brokers_end() {
        let (mut watermark, start) = watermark(TimeMode::Live);
        watermark.observe("t", 0, 100, start);
        let later = start + IDLE * 2;
        assert_eq!(watermark.at(later, 1_000), i64::MIN);
        watermark.progress("t", 1, true, start);
        assert_eq!(watermark.at(later, 1_000), 95);
        watermark.progress("t", 1, false, later);
        watermark.observe("t", 0, 900, later);
        assert_eq!(watermark.at(later, 1_000), 95);
    }

    #[test]
    fn when_all_are_idle_the_clock_goes_on_in_live_time_only() {
        for (mode, expected) in [(TimeMode::Live, 995), (TimeMode::Data, i64::MIN)] {
            let (mut watermark, start) = watermark(mode);
            watermark.progress("t", 0, true, start);
            watermark.progress("t", 1, true, start);
            assert_eq!(watermark.at(start + IDLE, 1_000), expected);
        }
    }
}
