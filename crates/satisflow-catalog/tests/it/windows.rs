//! Windows of several periods of the calendar: what they are, and what is refused.

use satisflow_kpi::{CalendarUnit, WindowSpan};

use crate::support::{catalog, problems};

fn with(window: &str, alerts: &str) -> String {
    format!(
        "version: 1\nwindows: {{ w: {{ {window} }} }}\nmeasures: {{ m: {{ value: score }} }}\n\
         metrics:\n  k: {{ mean: m{alerts} }}\n"
    )
}

fn fingerprint(window: &str) -> String {
    catalog(&with(window, "")).plan.definitions[0].fingerprint.to_string()
}

#[test]
fn a_calendar_window_may_have_several_periods() {
    let span = |window: &str| match &catalog(&with(window, "")).plan.windows[0].span {
        WindowSpan::Calendar { unit, last, .. } => (*unit, *last),
        other => panic!("{other:?}"),
    };
    assert_eq!(span("calendar: month, last: 6"), (CalendarUnit::Month, 6));
    assert_eq!(span("calendar: week"), (CalendarUnit::Week, 1));
    assert_eq!(fingerprint("calendar: month"), fingerprint("calendar: month, last: 1"));
    assert_ne!(fingerprint("calendar: month"), fingerprint("calendar: month, last: 6"));
}

#[test]
fn other_windows_have_no_periods_and_overlapping_ones_no_tests_of_change() {
    let expect = |window: &str, alerts: &str, expected: &str| assert_eq!(problems(&with(window, alerts)), [expected]);
    expect("calendar: month, last: 0", "", "2: a window of 0 periods");
    expect("calendar: month, last: 37", "", "2: a window of 37 periods");
    for window in ["length: 7d, step: 1d, last: 2", "all: true, last: 2"] {
        expect(window, "", "2: a window is either rolling, of the calendar, or all");
    }
    let drop = ", alerts: [{ window: w, drop: {} }]";
    let overlap = "5: windows of `w` overlap: the one before an end is no other sample";
    expect("calendar: month, last: 6", drop, overlap);
    assert_eq!(catalog(&with("calendar: month", drop)).plan.definitions.len(), 1, "periods that do not overlap");
}
