//! From commits of `kpis` to changes of alerts.

use std::collections::{BTreeMap, BTreeSet};

use satisflow_kpi::Level;
use satisflow_stats::tests_of_difference::benjamini_hochberg;

use crate::change::{Cause, Change, Instance, Standing, Transition};
use crate::evaluate::{Evidence, Rows, Verdict};
use crate::rule::{Kind, Rule};
use crate::{KpiPoint, Point};

#[derive(Debug, Default)]
struct Group {
    points: BTreeMap<i64, Point>,
    slow: BTreeMap<i64, Point>,
    standing: Standing,
}

#[derive(Debug)]
struct RuleState {
    rule: Rule,
    grouping_set: String,
    groups: BTreeMap<Vec<String>, Group>,
    /// The last end that was decided, µs.
    decided: i64,
}

/// Decides all rules of a catalog.
#[derive(Debug)]
pub struct Decider {
    rules: Vec<RuleState>,
}

impl Decider {
    /// Nothing is known yet.
    pub fn new(rules: &[Rule]) -> Decider {
        let state = |rule: &Rule| RuleState {
            grouping_set: rule.grouping_set(),
            rule: rule.clone(),
            groups: BTreeMap::new(),
            decided: i64::MIN,
        };
        Decider { rules: rules.iter().map(state).collect() }
    }

    /// The rules, by the index of an [`Instance`].
    pub fn rule(&self, index: usize) -> &Rule {
        &self.rules[index].rule
    }

    /// Takes rows that were decided before, in any order.
    pub fn recall(&mut self, rows: &[KpiPoint]) {
        for state in &mut self.rules {
            for row in rows {
                if state.take(row) == Taken::Fast && !row.back_filled {
                    state.decided = state.decided.max(row.point.end);
                }
            }
            state.forget();
        }
    }

    /// Says how an alert stood after those rows.
    pub fn restore(&mut self, instance: Instance, standing: Standing) {
        self.rules[instance.rule].groups.entry(instance.group).or_default().standing = standing;
    }

    /// Takes the rows of one commit and gives what changes by them, in the order of rules, ends and groups.
    pub fn decide(&mut self, rows: &[KpiPoint]) -> Vec<Change> {
        let mut changes = Vec::new();
        for (index, state) in self.rules.iter_mut().enumerate() {
            changes.extend(state.decide(index, rows));
        }
        changes
    }

    /// The known groups of a rule, those with an open alert first, and whether it is open.
    pub fn known(&self, rule: usize) -> Vec<(&[String], bool)> {
        let is_open = |group: &Group| matches!(group.standing, Standing::Open { .. });
        let groups = self.rules[rule].groups.iter();
        let mut known: Vec<(&[String], bool)> = groups.map(|(name, group)| (name.as_slice(), is_open(group))).collect();
        known.sort_by_key(|(_, open)| !open);
        known
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Ends of groups whose rows have changed.
type Restated = BTreeMap<Vec<String>, BTreeSet<i64>>;

#[derive(PartialEq, Eq)]
enum Taken {
    Not,
    Slow,
    Fast,
}

impl RuleState {
    /// Holds a row if it is of this rule.
    fn take(&mut self, row: &KpiPoint) -> Taken {
        let series = &row.series;
        if series.fingerprint != self.rule.fingerprint || *series.grouping_set != *self.grouping_set {
            return Taken::Not;
        }
        let is_slow = matches!(&self.rule.kind, Kind::Burn { slow, .. } if *slow == series.window);
        if series.window != self.rule.window && !is_slow {
            return Taken::Not;
        }
        let group = match self.groups.get_mut(&series.group) {
            Some(group) => group,
            None => self.groups.entry(series.group.clone()).or_default(),
        };
        let points = if is_slow { &mut group.slow } else { &mut group.points };
        let held = points.get(&row.point.end).map_or(0, |point| point.revision);
        if row.point.revision >= held {
            points.insert(row.point.end, row.point.clone());
        }
        if is_slow { Taken::Slow } else { Taken::Fast }
    }

    fn decide(&mut self, index: usize, rows: &[KpiPoint]) -> Vec<Change> {
        let before = self.decided;
        let mut fresh: BTreeMap<i64, BTreeSet<Vec<String>>> = BTreeMap::new();
        let mut restated = Restated::new();
        for row in rows {
            if self.take(row) != Taken::Fast || row.back_filled {
                continue;
            }
            let (end, group) = (row.point.end, row.series.group.clone());
            if end > before {
                fresh.entry(end).or_default().insert(group);
            } else {
                restated.entry(group).or_default().insert(end);
            }
        }
        let mut changes = Vec::new();
        for (end, groups) in fresh {
            changes.extend(self.decide_end(index, end, &groups, None));
            groups.iter().for_each(|group| drop(restated.remove(group)));
            self.decided = end;
        }
        // Groups of one newest end together: each end is decided once.
        let mut again: BTreeMap<i64, BTreeSet<Vec<String>>> = BTreeMap::new();
        for group in restated.keys() {
            let newest = self.groups.get(group).and_then(|group| group.points.keys().next_back().copied());
            newest.map(|end| again.entry(end).or_default().insert(group.clone()));
        }
        for (end, groups) in again {
            changes.extend(self.decide_end(index, end, &groups, Some(&restated)));
        }
        self.forget();
        changes
    }

    /// Decides the groups of an end, told apart from chance together with all that have a row there.
    fn decide_end(
        &mut self,
        index: usize,
        end: i64,
        wanted: &BTreeSet<Vec<String>>,
        restated: Option<&Restated>,
    ) -> Vec<Change> {
        let mut verdicts = self.verdicts(end);
        let all: Vec<f64> = verdicts.iter().map(|(_, verdict)| verdict.evidence.p.unwrap_or(0.0)).collect();
        let told = benjamini_hochberg(&all, self.rule.q);
        let passed = told.iter().filter(|told| **told).count().max(1);
        let p_limit = self.rule.q * passed as f64 / all.len().max(1) as f64;
        let mut known = BTreeMap::new();
        for ((group, verdict), told) in verdicts.iter_mut().zip(told) {
            verdict.evidence.groups = all.len();
            verdict.evidence.p_limit = verdict.evidence.p.map(|_| p_limit);
            verdict.beyond &= told;
            known.insert(group.clone(), verdict.clone());
        }
        let ends = |group: &Vec<String>| restated.and_then(|restated| restated.get(group));
        let changed = |group: &Vec<String>| self.change(index, group, end, known.get(group), ends(group));
        let changes: Vec<Change> = wanted.iter().filter_map(changed).collect();
        for change in &changes {
            self.stand(change);
        }
        changes
    }

    /// What each group that has a row at an end says.
    fn verdicts(&self, end: i64) -> Vec<(Vec<String>, Verdict)> {
        let has_row = self.groups.iter().filter(|(_, group)| group.points.contains_key(&end));
        let verdict = |(name, group): (&Vec<String>, &Group)| Some((name.clone(), self.rows(group).verdict(end)?));
        has_row.filter_map(verdict).collect()
    }

    fn rows<'a>(&'a self, group: &'a Group) -> Rows<'a> {
        let (held, since) = match &group.standing {
            Standing::Open { opened, baseline } => (baseline.filter(|_| !self.is_old(group, *opened)), None),
            Standing::Closed(since) => (None, *since),
        };
        Rows { rule: &self.rule, points: &group.points, slow: &group.slow, held, since }
    }

    /// Whether an alert has been open for as long as its baseline was: from then on the new level is compared with.
    fn is_old(&self, group: &Group, opened: i64) -> bool {
        let windows = self.rule.kind.windows().0;
        match self.rule.length() {
            Some(length) => {
                let newest = group.points.keys().next_back().copied().unwrap_or(opened);
                newest - opened >= length.saturating_mul(i64::from(windows))
            }
            None => group.points.range(opened + 1..).count() >= windows as usize,
        }
    }

    fn change(
        &self,
        index: usize,
        name: &[String],
        end: i64,
        verdict: Option<&Verdict>,
        restated: Option<&BTreeSet<i64>>,
    ) -> Option<Change> {
        let group = self.groups.get(name)?;
        let instance = Instance { rule: index, group: name.to_vec() };
        let cause = if restated.is_some() { Cause::Restated } else { Cause::Decided };
        let of = |transition, cause, opened, evidence| Change {
            instance: instance.clone(),
            transition,
            cause,
            opened,
            evidence,
        };
        match &group.standing {
            Standing::Closed(_) => {
                let verdict = verdict.filter(|verdict| verdict.beyond)?;
                Some(of(Transition::Open, cause, end, verdict.evidence.clone()))
            }
            Standing::Open { opened, baseline } => {
                if let Some(point) = group.points.get(&end).filter(|point| point.n == 0 && point.whole) {
                    return Some(of(Transition::Clear, Cause::Empty, *opened, nothing(point, *baseline)));
                }
                if let Some(verdict) = verdict.filter(|_| self.is_quiet(group, *opened, end)) {
                    return Some(of(Transition::Clear, cause, *opened, verdict.evidence.clone()));
                }
                let opening = restated.filter(|ends| ends.contains(opened)).and_then(|_| group.points.get(opened))?;
                let again = self.rows(group).verdict(*opened);
                let evidence = again.map_or_else(|| nothing(opening, *baseline), |verdict| verdict.evidence);
                Some(of(Transition::Update, Cause::Restated, *opened, evidence))
            }
        }
    }

    /// Whether the last rows since it opened are all quiet.
    fn is_quiet(&self, group: &Group, opened: i64, end: i64) -> bool {
        if end <= opened {
            return false;
        }
        let rows = self.rows(group);
        let last: Vec<i64> =
            group.points.range(opened + 1..=end).rev().take(self.rule.clear_after as usize).map(|(e, _)| *e).collect();
        last.len() == self.rule.clear_after as usize
            && last.iter().all(|end| rows.verdict(*end).is_some_and(|verdict| verdict.quiet))
    }

    fn stand(&mut self, change: &Change) {
        let Some(group) = self.groups.get_mut(&change.instance.group) else { return };
        group.standing = Standing::after(change.transition, change.opened, &change.evidence);
    }

    /// Drops rows that no later decision reads.
    fn forget(&mut self) {
        let held = self.rule.held_windows() as usize + 1;
        let from = self.rule.held_micros().map(|held| self.decided.saturating_sub(held));
        for group in self.groups.values_mut() {
            match from {
                Some(from) => group.points = group.points.split_off(&from),
                None => {
                    let first = group.points.keys().rev().nth(held).copied();
                    if let Some(first) = first {
                        group.points = group.points.split_off(&first);
                    }
                }
            }
            if let Some(last) = group.slow.range(..=self.decided).next_back().map(|(end, _)| *end) {
                group.slow = group.slow.split_off(&last);
            }
        }
        // A group that came once and was never told of is not remembered for ever.
        self.groups.retain(|_, group| !group.points.is_empty() || group.standing != Standing::Closed(None));
    }
}

/// Evidence of a window that can't be judged.
fn nothing(point: &Point, baseline: Option<Level>) -> Evidence {
    Evidence { point: point.clone(), baseline, statistic: None, p: None, limit: None, p_limit: None, groups: 0 }
}
