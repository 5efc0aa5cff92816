//! Whether there is nothing more to read, for `--exit-at-end`.

use std::collections::BTreeSet;

use satisflow_kafka::{PartitionEnd, PartitionProgress};

type Key = (String, i32);

/// Reports of being at the end before it is believed.
const REPORTS: u32 = 3;

/// Partitions that anybody of the group has still to read.
#[derive(Debug, Default)]
pub(crate) struct AtEnd {
    assigned: BTreeSet<Key>,
    behind: BTreeSet<Key>,
    reports: u32,
}

impl AtEnd {
    pub(crate) fn assign(&mut self, partitions: &[Key]) {
        self.assigned.extend(partitions.iter().cloned());
        self.behind.extend(partitions.iter().cloned());
        self.reports = 0;
    }

    pub(crate) fn revoke(&mut self, partitions: &[Key]) {
        for key in partitions {
            self.assigned.remove(key);
            self.behind.remove(key);
        }
    }

    /// Takes in how far this process is; `group` says how far the whole group is,
    /// if that is known. Whether everything has been read: what another process
    /// holds, maybe one that has died, counts too.
    pub(crate) fn reached(&mut self, progress: &[PartitionProgress], group: Option<&[PartitionEnd]>) -> bool {
        for p in progress {
            let key = (p.topic.clone(), p.partition);
            if p.at_end {
                self.behind.remove(&key)
            } else {
                self.behind.insert(key)
            };
        }
        let others = group.is_some_and(|ends| {
            ends.iter().all(|end| end.at_end || self.assigned.contains(&(end.topic.clone(), end.partition)))
        });
        let all = !self.assigned.is_empty() && self.behind.is_empty() && others;
        self.reports = if all { self.reports + 1 } else { 0 };
        self.reports >= REPORTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> Key {
        ("t".to_owned(), partition)
    }

    fn own(partition: i32, at_end: bool) -> PartitionProgress {
        PartitionProgress { topic: "t".into(), partition, position: 5, end: 5, at_end }
    }

    fn of_group(partition: i32, at_end: bool) -> PartitionEnd {
        PartitionEnd { topic: "t".to_owned(), partition, at_end }
    }

    /// How many reports it takes.
    fn reports(at_end: &mut AtEnd, progress: &[PartitionProgress], group: Option<&[PartitionEnd]>) -> Option<u32> {
        (1..10).find(|_| at_end.reached(progress, group))
    }

    #[test]
    fn all_is_read_when_every_partition_is_whoever_holds_it() {
        let mut at_end = AtEnd::default();
        at_end.assign(&[key(0)]);
        // What this process holds is known here first; the group's word may be older.
        let group = [of_group(0, false), of_group(1, true)];
        assert_eq!(reports(&mut at_end, &[own(0, true)], Some(&group)), Some(REPORTS));
        assert_eq!(reports(&mut at_end, &[own(0, false)], Some(&group)), None);
    }

    #[test]
    fn what_a_dead_process_still_holds_is_waited_for() {
        let mut at_end = AtEnd::default();
        at_end.assign(&[key(0)]);
        let group = [of_group(0, true), of_group(1, false)];
        assert_eq!(reports(&mut at_end, &[own(0, true)], Some(&group)), None);
        at_end.assign(&[key(1)]);
        assert_eq!(reports(&mut at_end, &[own(0, true)], Some(&group)), None);
        assert_eq!(reports(&mut at_end, &[own(0, true), own(1, true)], Some(&group)), Some(REPORTS));
        at_end.revoke(&[key(1)]);
        assert_eq!(reports(&mut at_end, &[own(0, true)], Some(&group)), None);
    }

    #[test]
    fn nothing_is_at_its_end_before_the_group_is_known() {
        let mut at_end = AtEnd::default();
        at_end.assign(&[key(0)]);
        assert_eq!(reports(&mut at_end, &[own(0, true)], None), None);
    }
}
