//! The rules of rows, each shown on a few events.

use expect_test::{Expect, expect};
use satisflow_kpi::{Frontier, Reason, RowKey, SnapshotError};

use crate::stream::{Event, KPIS, MINUTE, Scorer, plan};

fn response(id: u8, minute: i64, score: i64) -> Event {
    Event::rating(id, minute * MINUTE, score * 10_000)
}

/// Steps of events and watermarks (minutes) and the 5-minute csat totals that each step publishes.
fn check(steps: &[(&[Event], i64)], expected: Expect) {
    let mut scorer = Scorer::new(plan(1000));
    let mut text = String::new();
    for (events, watermark) in steps {
        scorer.take(events);
        text += &format!("to {watermark}:\n");
        for row in scorer.advance(watermark * MINUTE) {
            let (key, figures) = scorer.show(&row);
            if let Some(rest) = key.strip_prefix("csat|5m||||") {
                let end: i64 = rest.parse().unwrap();
                let value = figures.split('|').next().unwrap();
                let n = figures.split('|').nth(3).unwrap();
                text += &format!("  {} r{} {} {value} n={n}\n", end / MINUTE, row.revision, row.reason.as_str());
            }
        }
    }
    expected.assert_eq(&text);
}

/// A damaged or foreign snapshot is refused, whichever byte is wrong or missing.
#[test]
fn a_snapshot_that_is_not_what_was_written_is_refused() {
    let mut scorer = Scorer::new(plan(1000));
    scorer.take(&[response(1, 0, 80), response(2, 2, 90)]);
    scorer.advance(4 * MINUTE);
    let frames = scorer.save().frames;
    let read = |frames: &[Vec<u8>], plan| {
        let mut frames = frames.iter().cloned();
        satisflow_kpi::Engine::from_frames(plan, || {
            frames.next().ok_or_else(|| SnapshotError::Damaged("it ends too early".to_owned()))
        })
    };
    assert!(read(&frames, plan(1000)).is_ok());
    assert_eq!(read(&frames, plan(999)).unwrap_err(), SnapshotError::Foreign);
    for frame in 0..frames.len() {
        assert!(read(&frames[..frame], plan(1000)).is_err());
        let mut longer = frames.clone();
        longer[frame].push(0);
        assert!(read(&longer, plan(1000)).is_err());
        let mut shorter = frames.clone();
        shorter[frame].pop();
        assert!(read(&shorter, plan(1000)).is_err());
    }
}

#[test]
fn rows_stand_where_events_enter_and_leave() {
    check(
        &[(&[response(1, 0, 80), response(2, 2, 90)], 4), (&[], 20)],
        expect![[r#"
            to 4:
              1 r1 initial 80.000000000000 n=1
              3 r1 initial 85.000000000000 n=2
            to 20:
              6 r1 initial 90.000000000000 n=1
              8 r1 initial  n=0
        "#]],
    );
}

#[test]
fn a_late_event_restates_what_it_touches() {
    check(
        &[(&[response(1, 0, 80)], 4), (&[response(2, 2, 90)], 7)],
        expect![[r#"
            to 4:
              1 r1 initial 80.000000000000 n=1
            to 7:
              3 r1 late 85.000000000000 n=2
              6 r1 initial 90.000000000000 n=1
        "#]],
    );
    check(
        &[(&[response(1, 0, 80)], 7), (&[response(2, 0, 90)], 7)],
        expect![[r#"
            to 7:
              1 r1 initial 80.000000000000 n=1
              6 r1 initial  n=0
            to 7:
              1 r2 late 85.000000000000 n=2
        "#]],
    );
}

#[test]
fn a_retraction_restates_and_leaves_a_trace() {
    let retraction = Event { voids: Some(1), score: None, ..response(9, 6, 0) };
    check(
        &[(&[response(1, 0, 80)], 3), (&[retraction], 9)],
        expect![[r#"
            to 3:
              1 r1 initial 80.000000000000 n=1
            to 9:
              1 r2 retraction  n=0
              6 r1 initial  n=0
        "#]],
    );
}

#[test]
fn what_cancels_out_before_publication_makes_no_revision() {
    let late = response(2, 0, 90);
    let retraction = Event { voids: Some(2), score: None, ..response(9, 6, 0) };
    check(
        &[(&[response(1, 0, 80)], 3), (&[late, retraction], 4)],
        expect![[r#"
            to 3:
              1 r1 initial 80.000000000000 n=1
            to 4:
        "#]],
    );
}

#[test]
fn a_window_with_too_many_groups_publishes_its_coarser_sets_only() {
    let mut scorer = Scorer::new(plan(1));
    let b = Event { department: "b", ..response(2, 0, 90) };
    scorer.take(&[response(1, 0, 80), b]);
    let rows = scorer.advance(MINUTE);
    let sets: Vec<(usize, bool)> =
        rows.iter().filter(|r| r.definition == 0 && r.window == 0).map(|r| (r.set, r.over_limit)).collect();
    assert_eq!(sets, [(0, true)]);
}

#[test]
fn closing_the_input_closes_every_window_that_holds_data() {
    let mut scorer = Scorer::new(plan(1000));
    scorer.take(&[response(1, 0, 80), response(2, 30, 90)]);
    let closed = scorer.engine.last_event();
    let rows = scorer.engine.advance(&[Frontier { closed, ..Frontier::NONE }; KPIS.len()]).unwrap();
    let last = |window| rows.iter().rfind(|r| r.definition == 0 && r.set == 0 && r.window == window).unwrap();
    assert_eq!((last(0).window_end, last(0).sums.n), (31 * MINUTE, 1));
    assert_eq!((last(1).window_end, last(1).sums.n), (40 * MINUTE, 2));
    assert_eq!((last(2).window_end, last(2).sums.n), (23 * 60 * MINUTE, 2));
    assert_eq!((last(3).window_end, last(3).sums.n), (1440 * MINUTE, 2));
}

#[test]
fn a_new_definition_says_that_its_rows_are_back_filled() {
    let mut scorer = Scorer::new(plan(1000));
    scorer.engine.mark_backfill("csat");
    scorer.take(&[response(1, 0, 80)]);
    let rows = scorer.advance(MINUTE);
    assert!(rows.iter().all(|r| (r.reason == Reason::BackFill) == (r.definition == 0)));
    scorer.engine.end_backfill();
    scorer.take(&[response(2, 2, 80)]);
    assert!(scorer.advance(3 * MINUTE).iter().all(|r| r.reason == Reason::Initial));
}

#[test]
fn the_open_window_holds_all_that_has_arrived() {
    let mut scorer = Scorer::new(plan(1000));
    scorer.take(&[response(1, 0, 80), response(2, 3, 90)]);
    let live = scorer.engine.live(3 * MINUTE + 1).unwrap();
    let total = live.iter().find(|r| r.definition == 0 && r.set == 0 && r.window == 0).unwrap();
    assert_eq!((total.window_end, total.sums.n), (4 * MINUTE, 2));
}

/// Rows of csat by department in the 5-minute windows, as (end, revision, reason, status).
fn department_rows(scorer: &Scorer, rows: &[satisflow_kpi::KpiRow]) -> Vec<String> {
    let wanted = rows.iter().filter(|r| r.definition == 0 && r.window == 0 && r.set == 1);
    let text = |row: &satisflow_kpi::KpiRow| {
        let status = scorer.show(row).1.rsplit('|').next().unwrap().to_owned();
        format!("{} r{} {} {status}", row.window_end / MINUTE, row.revision, row.reason.as_str())
    };
    wanted.map(text).collect()
}

#[test]
fn a_published_end_that_goes_over_its_limit_is_withdrawn_until_it_is_back() {
    let mut scorer = Scorer::new(plan(1));
    scorer.take(&[response(1, 0, 80)]);
    let rows = scorer.advance(MINUTE);
    assert_eq!(department_rows(&scorer, &rows), ["1 r1 initial insufficient"]);
    scorer.take(&[Event { department: "b", ..response(2, 0, 90) }]);
    let rows = scorer.advance(MINUTE);
    assert_eq!(department_rows(&scorer, &rows), ["1 r2 withdrawn over_limit"]);
    let total: Vec<_> = rows.iter().filter(|r| r.definition == 0 && r.window == 0 && r.set == 0).collect();
    assert!(total.iter().all(|r| r.over_limit && r.sums.n == 2) && total.len() == 1);
    scorer.take(&[Event { department: "b", voids: Some(2), ..response(3, 20, 90) }]);
    let rows = scorer.advance(MINUTE);
    assert_eq!(department_rows(&scorer, &rows), ["1 r4 late insufficient", "1 r5 late stale"]);
}

#[test]
fn what_was_published_too_early_is_incomplete_until_its_source_has_come() {
    let mut scorer = Scorer::new(plan(10));
    scorer.take(&[response(1, 0, 80), response(2, 0, 90)]);
    let early = Frontier { complete: 0, ..Frontier::at(MINUTE) };
    let rows = scorer.engine.advance(&[early; KPIS.len()]).unwrap();
    assert_eq!(department_rows(&scorer, &rows), ["1 r1 initial incomplete"]);
    let rows = scorer.advance(MINUTE);
    assert_eq!(department_rows(&scorer, &rows), ["1 r2 late ok"]);
    assert!(scorer.advance(MINUTE).is_empty());
}

#[test]
fn a_rebuilt_engine_knows_which_rows_were_incomplete() {
    let mut scorer = Scorer::new(plan(10));
    scorer.take(&[response(1, 0, 80), response(2, 0, 90)]);
    scorer.engine.resume("csat", Frontier::at(MINUTE)).unwrap();
    let key = |revision, incomplete| RowKey {
        fingerprint: "csat",
        window: "5m",
        grouping_set: "department",
        values: vec!["a"],
        end: MINUTE,
        revision,
        incomplete,
    };
    // In any order: the highest revision says what holds.
    scorer.engine.restore_revision(&key(2, true));
    scorer.engine.restore_revision(&key(1, false));
    let rows = scorer.advance(MINUTE);
    assert_eq!(department_rows(&scorer, &rows), ["1 r3 late ok"]);
}
