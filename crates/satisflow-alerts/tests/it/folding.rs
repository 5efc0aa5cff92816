//! The same rows give the same changes, whoever takes over in between.

use rand::{Rng, SeedableRng};
use satisflow_alerts::{Change, Decider, Kind, KpiPoint, Rule, alert_rows, alerts_batch, rows_of};

use crate::{arc, drop_of, revised, rule, share};

fn rules() -> Vec<Rule> {
    let named = |alert: &str, kind| Rule { alert: alert.to_owned(), clear_after: 2, ..rule(kind) };
    vec![
        named("Drop", drop_of(6)),
        named("Chart", Kind::Chart { baseline: 6, sigmas: 2.0, laney: true }),
        named("Cusum", Kind::Cusum { baseline: 6, over: 4, k: 0.5, h: 2.0 }),
        named("Ewma", Kind::Ewma { baseline: 6, over: 4, lambda: 0.3, sigmas: 2.0 }),
        named("Bound", Kind::Bound { bound: 0.6, clear: 0.65, for_micros: 0 }),
    ]
}

/// Commits of a stream that wobbles, with revisions of any age.
fn commits(seed: u64) -> Vec<Vec<KpiPoint>> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut published: Vec<KpiPoint> = Vec::new();
    let mut all = Vec::new();
    for hour in 1..50 {
        let mut rows = Vec::new();
        for group in ["a", "b", "c"] {
            let level = if random.random_bool(0.2) { 20 } else { 35 };
            if random.random_bool(0.9) {
                rows.push(share(group, hour, level + random.random_range(0..5), 50));
            }
        }
        published.extend(rows.clone());
        if random.random_bool(0.6) {
            // Of the last rows mostly, where alerts stand.
            let from = if random.random_bool(0.8) { published.len().saturating_sub(6) } else { 0 };
            let at = random.random_range(from..published.len());
            let old = published[at].clone();
            let n = if random.random_bool(0.2) { 0 } else { 50 };
            let new = share(&old.series.group[0], old.point.end / crate::HOUR, random.random_range(0..=n), n);
            let new = revised(&new, old.point.revision + 1);
            published[at] = new.clone();
            rows.retain(|row| row.series != new.series || row.point.end != new.point.end);
            rows.push(new);
        }
        all.push(rows);
    }
    all
}

fn continuous(commits: &[Vec<KpiPoint>]) -> Vec<Vec<Change>> {
    let mut decider = Decider::new(&rules());
    commits.iter().map(|rows| decider.decide(rows)).collect()
}

/// Another process goes on after each commit, from the rows and the table's last words.
fn with_takeovers(commits: &[Vec<KpiPoint>]) -> Vec<Vec<Change>> {
    let rules = rules();
    let mut told: Vec<Vec<Change>> = Vec::new();
    for at in 0..commits.len() {
        let mut decider = Decider::new(&rules);
        // In another order than they were published in, as a table gives them.
        commits[..at].iter().rev().for_each(|rows| decider.recall(rows));
        let changes: Vec<Change> = told.iter().flatten().cloned().collect();
        let rows = alert_rows(&rules, &changes, 1, 0);
        let batch = alerts_batch(&rows, &[arc("department"), arc("region")]).unwrap();
        let read = rows_of(&batch);
        assert_eq!(read, rows);
        for (row, change) in read.iter().zip(changes) {
            decider.restore(change.instance, row.standing());
        }
        told.push(decider.decide(&commits[at]));
    }
    told
}

#[test]
fn whoever_takes_over_finds_the_same_changes() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..12 {
        let commits = commits(seed);
        let (one, many) = (continuous(&commits), with_takeovers(&commits));
        assert_eq!(one, many, "seed {seed}");
        for change in one.iter().flatten() {
            *seen.entry((change.instance.rule, change.transition.as_str(), change.cause.as_str())).or_insert(0) += 1;
        }
    }
    // All that can happen has happened.
    for rule in 0..rules().len() {
        for (state, cause) in [("open", "decided"), ("clear", "decided"), ("open", "restated"), ("clear", "empty")] {
            assert!(seen.contains_key(&(rule, state, cause)), "{rule} {state} {cause}: {seen:?}");
        }
    }
    assert!(seen.keys().any(|(_, state, _)| *state == "update"), "{seen:?}");
}

#[test]
fn a_change_has_one_identity() {
    let commits = commits(1);
    let changes: Vec<Change> = continuous(&commits).into_iter().flatten().collect();
    let ids = |sequence, computed| -> Vec<String> {
        alert_rows(&rules(), &changes, sequence, computed).iter().map(satisflow_alerts::AlertRow::id).collect()
    };
    assert_eq!(ids(1, 7), ids(100, 7), "its place in the table does not matter");
    let different: std::collections::BTreeSet<String> = ids(1, 7).into_iter().chain(ids(1, 8)).collect();
    assert!(different.len() > changes.len(), "{} of {}", different.len(), changes.len());
}
