//! Days, weeks and months where the calendar is not as usual, and feeds that stop.

use expect_test::{Expect, expect};
use jiff::{Timestamp, tz::TimeZone};
use satisflow_kpi::{CalendarUnit, Frontier, Status, Window, WindowSpan, figures};

use crate::stream::{Event, MINUTE, Scorer, plan};

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn event(id: u8, time: i64) -> Event {
    Event::rating(id, time, 40_000)
}

/// Rows of `csat` over everything, one window: hours that it has, bounds, events in it.
fn check(unit: CalendarUnit, zone: &str, times: &[&str], expected: Expect) {
    let mut plan = plan(1000);
    let zone = TimeZone::get(zone).unwrap();
    plan.windows = vec![Window { name: "period".into(), span: WindowSpan::Calendar { unit, zone, last: 1 } }];
    plan.definitions.truncate(1);
    plan.definitions[0].windows = vec![0];
    plan.definitions[0].grouping_sets = vec![0];
    let mut scorer = Scorer::new(plan);
    let events: Vec<Event> = (0..).zip(times).map(|(id, time)| event(id, micros(time))).collect();
    scorer.take(&events);
    let rows = scorer.engine.advance(&[Frontier::at(micros("2100-01-01T00:00:00Z"))]).unwrap();
    let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap();
    let line = |row: &satisflow_kpi::KpiRow| {
        let (start, end) = (row.window_start.unwrap(), row.window_end);
        format!("{} h: {} to {}, n={}\n", (end - start) / (60 * MINUTE), at(start), at(end), row.sums.n)
    };
    expected.assert_eq(&rows.iter().map(line).collect::<String>());
}

#[test]
fn days_of_23_and_25_hours_hold_what_happened_in_them() {
    check(
        CalendarUnit::Day,
        "Europe/Berlin",
        &[
            "2026-03-28T22:59:59.999999Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T00:59:59Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T21:59:59.999999Z",
            "2026-03-29T22:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T22:59:59Z",
            "2026-10-25T23:00:00Z",
        ],
        expect![[r#"
            24 h: 2026-03-27T23:00:00Z to 2026-03-28T23:00:00Z, n=1
            23 h: 2026-03-28T23:00:00Z to 2026-03-29T22:00:00Z, n=4
            24 h: 2026-03-29T22:00:00Z to 2026-03-30T22:00:00Z, n=1
            25 h: 2026-10-24T22:00:00Z to 2026-10-25T23:00:00Z, n=4
            24 h: 2026-10-25T23:00:00Z to 2026-10-26T23:00:00Z, n=1
        "#]],
    );
}

#[test]
fn a_month_ends_eight_hours_earlier_in_shanghai() {
    let times = ["2026-10-31T15:59:59Z", "2026-10-31T16:00:00Z", "2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z"];
    check(
        CalendarUnit::Month,
        "UTC",
        &times,
        expect![[r#"
            744 h: 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z, n=3
            720 h: 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z, n=1
        "#]],
    );
    check(
        CalendarUnit::Month,
        "Asia/Shanghai",
        &times,
        expect![[r#"
            744 h: 2026-09-30T16:00:00Z to 2026-10-31T16:00:00Z, n=1
            720 h: 2026-10-31T16:00:00Z to 2026-11-30T16:00:00Z, n=3
        "#]],
    );
}

#[test]
fn a_leap_day_is_a_day_of_its_month() {
    let times = ["2028-02-28T12:00:00Z", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z"];
    check(
        CalendarUnit::Day,
        "UTC",
        &times,
        expect![[r#"
            24 h: 2028-02-28T00:00:00Z to 2028-02-29T00:00:00Z, n=1
            24 h: 2028-02-29T00:00:00Z to 2028-03-01T00:00:00Z, n=1
            24 h: 2028-03-01T00:00:00Z to 2028-03-02T00:00:00Z, n=1
        "#]],
    );
    check(
        CalendarUnit::Month,
        "UTC",
        &times,
        expect![[r#"
            696 h: 2028-02-01T00:00:00Z to 2028-03-01T00:00:00Z, n=2
            744 h: 2028-03-01T00:00:00Z to 2028-04-01T00:00:00Z, n=1
        "#]],
    );
}

#[test]
fn week_53_lies_in_two_years_and_is_one_week() {
    let times = ["2026-12-27T23:59:59Z", "2026-12-28T00:00:00Z", "2027-01-01T00:00:00Z", "2027-01-03T23:59:59Z"];
    check(
        CalendarUnit::Week,
        "UTC",
        &times,
        expect![[r#"
            168 h: 2026-12-21T00:00:00Z to 2026-12-28T00:00:00Z, n=1
            168 h: 2026-12-28T00:00:00Z to 2027-01-04T00:00:00Z, n=3
        "#]],
    );
    check(
        CalendarUnit::Year,
        "UTC",
        &times,
        expect![[r#"
            8760 h: 2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z, n=2
            8760 h: 2027-01-01T00:00:00Z to 2028-01-01T00:00:00Z, n=2
        "#]],
    );
}

/// When nothing comes, the clock alone makes the last window empty and says so.
#[test]
fn a_stopped_feed_decays_to_stale() {
    let mut scorer = Scorer::new(plan(1000));
    let start = micros("2026-11-23T12:00:30Z");
    scorer.take(&[event(1, start), event(2, start + 1)]);
    let mut said = String::new();
    for minute in 1..=8 {
        for row in scorer.advance(start + minute * MINUTE) {
            if (row.definition, row.window, row.set) == (0, 0, 0) {
                let figures = figures(&scorer.engine.plan().definitions[0], &row);
                said += &format!("minute {minute}: n={} {}\n", figures.n, figures.status.as_str());
                assert_eq!(figures.status == Status::Stale, figures.value.is_none());
            }
        }
    }
    expect![[r#"
        minute 1: n=2 ok
        minute 6: n=0 stale
    "#]]
    .assert_eq(&said);
    let live = scorer.engine.live(start + 20 * MINUTE).unwrap();
    let open = live.iter().find(|row| (row.definition, row.window, row.set) == (0, 0, 0)).unwrap();
    assert_eq!(figures(&scorer.engine.plan().definitions[0], open).status, Status::Stale);
}

/// A clock that jumps back publishes nothing twice, and takes nothing back.
#[test]
fn a_watermark_that_goes_back_moves_nothing() {
    let mut scorer = Scorer::new(plan(1000));
    let start = micros("2026-11-23T12:00:30Z");
    scorer.take(&[event(1, start)]);
    assert!(!scorer.advance(start + 10 * MINUTE).is_empty());
    assert!(scorer.advance(start - 1000 * MINUTE).is_empty());
    scorer.take(&[event(2, start + MINUTE)]);
    let restated = scorer.advance(start - 1000 * MINUTE);
    assert!(!restated.is_empty(), "what was published stays published, and is restated");
    assert!(scorer.advance(start + 10 * MINUTE).is_empty());
}
