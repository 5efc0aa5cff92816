//! Measures that say until when: what they give, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use satisflow_kpi::Metric;

use crate::support::{answered, audit, catalog, engine, problems};

/// A catalog of one measure and one metric; the measure stands in line 7, the metric in line 9.
fn with(measure: &str, metric: &str) -> String {
    format!(
        "version: 1\nwindows:\n  7d: {{ length: 7d, step: 1d }}\n  1h: {{ length: 30d, step: 5m }}\n  \
         all: {{ all: true }}\nmeasures:\n  m: {{ {measure} }}\nmetrics:\n  k: {{ {metric} }}\n"
    )
}

#[test]
fn what_is_asked_is_part_of_the_identity() {
    let of =
        |metric: &str| catalog(&with("until: due_at", &format!("{metric}, windows: [7d]"))).plan.definitions[0].clone();
    assert_eq!(of("survival: { measure: m }").metric, Metric::Survival { measure: 0, millionths: 500_000 });
    assert_eq!(of("survival: { measure: m, at: 0.9 }").metric, Metric::Survival { measure: 0, millionths: 900_000 });
    assert_eq!(of("open_count: m").metric, Metric::OpenCount(0));
    assert_eq!(of("open_age: m").metric, Metric::OpenAge(0));
    let all = ["survival: { measure: m }", "survival: { measure: m, at: 0.9 }", "open_count: m", "open_age: m"];
    let different: std::collections::BTreeSet<_> = all.iter().map(|metric| of(metric).fingerprint).collect();
    assert_eq!(different.len(), all.len());
}

/// An event of which only its time is known.
fn timed() -> RecordBatch {
    let event = answered(&[BTreeMap::new()]);
    let mut columns = event.columns().to_vec();
    let time = TimestampMicrosecondArray::from(vec![1_790_000_000_000_001]).with_timezone("UTC");
    columns[event.schema().index_of("event_time").unwrap()] = Arc::new(time);
    RecordBatch::try_new(event.schema(), columns).unwrap()
}

/// µs as 4 decimals, whatever the precision of the time; below 0 it goes on.
#[test]
fn how_long_it_lasted_is_exact() {
    let check = |until: &str, expected: i128| {
        let catalog = catalog(&with(&format!("until: \"{until}\""), "open_count: m, windows: [7d]"));
        assert_eq!(engine(&catalog, &timed()), [Some(expected)], "{until}");
        assert_eq!(audit(&catalog, &timed()), [Some(expected)], "{until}");
    };
    check("event_time + interval '1 microseconds'", 1);
    check("event_time + interval '30 days'", 30 * 86_400_000_000);
    check("arrow_cast(event_time, 'Timestamp(Nanosecond, None)') + interval '2 seconds'", 2_000_000);
    check("event_time - interval '1 day'", 0);
    check("case when kind = 'nothing' then event_time end", -1);
}

#[test]
fn what_does_not_hold_is_refused_with_its_line() {
    let expect = |measure: &str, metric: &str, expected: &[&str]| {
        assert_eq!(problems(&with(measure, metric)), expected, "{measure} {metric}");
    };
    let open = "open_count: m, windows: [7d]";
    let plain = "7: a measure with `until` has no value, no items, no population and no age";
    expect("until: due_at, value: score", open, &[plain]);
    expect("until: due_at, distinct: customer", open, &[plain]);
    expect("value: score", open, &["9: measure `m` does not say until when"]);
    expect("until: due_at", "mean: m, windows: [7d]", &["9: measure `m` has `until`, and no value"]);
    catalog(&with("until: due_at", "count: m"));
    expect(
        "until: due_at",
        "open_age: m, windows: [all]",
        &["9: what lasts is looked at in the steps of rolling windows, not in window `all`"],
    );
    expect(
        "until: due_at",
        "open_age: m, windows: [1h]",
        &["9: what lasts is looked at in at most 1000 steps, and more are in window `1h`"],
    );
    let at = "survival: { measure: m, at: 1 }, windows: [7d]";
    expect("until: due_at", at, &["9: the share that is over is above 0 and below 1, of at most 6 decimals"]);
    let unknown = problems(&with("until: duee_at", open));
    assert!(unknown.len() == 1 && unknown[0].starts_with("7: ") && unknown[0].contains("duee_at"), "{unknown:?}");
    let validity = format!("{open}, validity: {{ n_planned: 5 }}");
    expect("until: due_at", &validity, &["9: only a mean, a share or a balance of a survey is valid or not"]);
}
