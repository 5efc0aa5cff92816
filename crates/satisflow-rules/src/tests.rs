//! Tests of the rules for promtool: each alert begins, stays and ends as meant.

use std::fmt::Write;

use crate::label::label;
use crate::text::quoted;
use crate::{Decision, Settings, Side, Threshold};

/// Steps of 30 s: long enough for every `for`.
const STEP_SECS: u32 = 30;

/// One unit test: series with their values, and whether an alert fires at a time, s.
struct Case {
    name: String,
    series: Vec<(String, String)>,
    /// Labels of the alert, such as `alertname="A",topic="t"`.
    alert: String,
    checks: Vec<(u32, bool)>,
}

fn text(case: &Case) -> String {
    let mut text = format!("  - name: {}\n    interval: {STEP_SECS}s\n    input_series:\n", quoted(&case.name));
    for (series, values) in &case.series {
        let _ = writeln!(text, "      - series: {}\n        values: {}", quoted(series), quoted(values));
    }
    text.push_str("    promql_expr_test:\n");
    for (at, fires) in &case.checks {
        // Of the whole alert name there is one at most, and it has these labels.
        let firing = format!("count(ALERTS{{{},alertstate=\"firing\"}}) or vector(0)", case.alert);
        let _ = writeln!(text, "      - expr: {}\n        eval_time: {at}s", quoted(&firing));
        let _ = writeln!(text, "        exp_samples:\n          - {{ labels: '{{}}', value: {} }}", u8::from(*fires));
    }
    text
}

/// Series and labels of a threshold's group `g`.
struct Series<'a> {
    threshold: &'a Threshold,
    job: &'a str,
}

impl Series<'_> {
    fn labels(&self) -> Vec<(String, String)> {
        let Threshold { kpi, window, dimensions, .. } = self.threshold;
        let fixed = [
            ("job", self.job.to_owned()),
            ("kpi", kpi.clone()),
            ("window", window.clone()),
            ("grouping_set", dimensions.join(",")),
            ("state", "final".to_owned()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value)).into_iter();
        fixed.chain(dimensions.iter().map(|name| (label(name), "g".to_owned()))).collect()
    }

    fn named(&self, metric: &str) -> String {
        let labels: Vec<String> =
            self.labels().iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        format!("{metric}{{{}}}", labels.join(","))
    }

    fn alert(&self) -> String {
        let own = [("alertname", self.threshold.alert()), ("severity", self.threshold.severity.clone())];
        let all = self.labels().into_iter().chain(own.map(|(name, value)| (name.to_owned(), value)));
        all.map(|(name, value)| format!("{name}={}", quoted(&value))).collect::<Vec<_>>().join(",")
    }
}

/// A number beyond a bound, by so much of the step between the bounds.
fn beyond(side: Side, bound: &str, by: f64) -> String {
    let bound: f64 = bound.parse().unwrap_or_default();
    match side {
        Side::Below => format!("{}", bound - by),
        Side::Above => format!("{}", bound + by),
    }
}

fn threshold_cases(settings: &Settings, threshold: &Threshold) -> Vec<Case> {
    let series = Series { threshold, job: &settings.job };
    let steps = threshold.for_secs.div_ceil(STEP_SECS) + 2;
    let began = steps * STEP_SECS;
    let bad = beyond(threshold.side, &threshold.bound, 0.01);
    // At `clear` an alert ends, at the bound none begins.
    let (clear, bound) = (&threshold.clear, &threshold.bound);
    let complete = |values: String| (format!("satisflow_kpi_complete{{job={}}}", quoted(&settings.job)), values);
    let published = complete(format!("1x{}", 4 * steps));
    let few = threshold.n_min.saturating_sub(1);
    let case = |name: &str, value: String, n: u32, complete: (String, String), checks| Case {
        name: format!("{} in {}: {name}", threshold.kpi, threshold.window),
        series: vec![
            (series.named("satisflow_kpi_value"), value),
            (series.named("satisflow_kpi_samples"), format!("{n}x{}", 4 * steps)),
            complete,
        ],
        alert: series.alert(),
        checks,
    };
    let mut cases = vec![
        case(
            "a value beyond its bound fires, and goes on until it is cleared",
            format!("{bad}x{steps} {bound}x{steps} {clear}x{steps}"),
            threshold.n_min.max(1),
            published.clone(),
            vec![(began, true), (2 * began, bound != clear), (3 * began, false)],
        ),
        case(
            "at its bound nothing begins",
            format!("{bound}x{}", 4 * steps),
            threshold.n_min.max(1),
            published.clone(),
            vec![(3 * began, false)],
        ),
        case(
            "a service that is gone resolves nothing",
            format!("{bad}x{steps} stale"),
            threshold.n_min.max(1),
            complete(format!("1x{steps} stale")),
            vec![(began, true), (3 * began, true)],
        ),
        case(
            "one that stands by or catches up resolves nothing, and then tells",
            format!("{bad}x{steps} stale _x{steps} {clear}x{}", 2 * steps),
            threshold.n_min.max(1),
            complete(format!("1x{steps} 0x{steps} 1x{}", 2 * steps)),
            vec![(began, true), (2 * began, true), (3 * began + STEP_SECS, false)],
        ),
    ];
    if threshold.n_min > 0 {
        cases.push(case(
            "few events page nobody",
            format!("{bad}x{}", 4 * steps),
            few,
            published,
            vec![(3 * began, false)],
        ));
    }
    cases
}

fn health_cases(settings: &Settings) -> Vec<Case> {
    let job = quoted(&settings.job);
    let of = |metric: &str| format!("{metric}{{job={job}}}");
    let case = |alert: &str, bad: (String, String), good: (String, String), labels: &str| {
        let alert_labels = format!("alertname=\"{alert}\",{labels}");
        let case = |name: &str, series, fires| Case {
            name: format!("{alert}: {name}"),
            series: vec![series],
            alert: alert_labels.clone(),
            checks: vec![(900, fires)],
        };
        [case("fires", bad, true), case("is silent", good, false)]
    };
    let topic = |metric: &str, more: &str| format!("{metric}{{job={job},topic=\"t\"{more}}}");
    let lag = |records: u32| (topic("satisflow_kafka_lag_records", ",partition=\"0\""), format!("{records}x60"));
    let one = |metric: &str, value: &str| (of(metric), format!("{value}x60"));
    let old = settings.stale_after_secs + 1000;
    let mut cases: Vec<Case> = [
        case("SatisflowDown", one("up", "0"), one("up", "1"), "severity=\"page\""),
        case(
            "SatisflowKpisNotPublished",
            one("satisflow_kpi_complete", "0"),
            one("satisflow_kpi_complete", "1"),
            "severity=\"page\"",
        ),
        // Times of these tests count from 1970.
        case(
            "SatisflowFeedStale",
            (of("satisflow_kpi_newest_event_timestamp_seconds"), format!("-{old}x60")),
            (of("satisflow_kpi_newest_event_timestamp_seconds"), "0+30x60".to_owned()),
            "severity=\"warn\"",
        ),
        case(
            "SatisflowWindowsHeld",
            (of("satisflow_watermark_timestamp_seconds"), format!("-{old}x60")),
            (of("satisflow_watermark_timestamp_seconds"), "0+30x60".to_owned()),
            "severity=\"warn\"",
        ),
        case(
            "SatisflowLag",
            lag(settings.lag_records_max + 1),
            lag(settings.lag_records_max),
            "topic=\"t\",severity=\"warn\"",
        ),
        case(
            "SatisflowAuditDifferences",
            one("satisflow_audit_differences", "1"),
            one("satisflow_audit_differences", "0"),
            "severity=\"page\"",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    cases.extend(reject_cases(settings, &topic));
    cases.extend(gone_cases(&of));
    cases
}

/// A service that is gone resolves no page about itself either.
fn gone_cases(of: &dyn Fn(&str) -> String) -> [Case; 2] {
    let case = |alert: &str, metric: &str, bad: &str| Case {
        name: format!("{alert}: a service that is gone resolves nothing"),
        series: vec![(of(metric), format!("{bad}x30 stale")), (of("up"), "1x30 0x60".to_owned())],
        alert: format!("alertname=\"{alert}\",severity=\"page\""),
        checks: vec![(900, true), (2400, true)],
    };
    [
        case("SatisflowAuditDifferences", "satisflow_audit_differences", "1"),
        case("SatisflowKpisNotPublished", "satisflow_kpi_complete", "0"),
    ]
}

fn reject_cases(settings: &Settings, topic: &dyn Fn(&str, &str) -> String) -> [Case; 2] {
    let case = |name: &str, rejected: u32, fires: bool| Case {
        name: format!("SatisflowRejects: {name}"),
        series: vec![
            (topic("satisflow_records_total", ",outcome=\"rejected\""), format!("0+{rejected}x60")),
            (topic("satisflow_records_total", ",outcome=\"accepted\""), format!("0+{}x60", 1000 - rejected)),
        ],
        alert: "alertname=\"SatisflowRejects\",topic=\"t\",severity=\"warn\"".to_owned(),
        checks: vec![(1500, fires)],
    };
    let most = 10 * settings.reject_percent_max;
    [case("fires", most + 1, true), case("is silent", most, false)]
}

fn decision_cases(settings: &Settings, decision: &Decision) -> [Case; 3] {
    let group = || decision.dimensions.iter().map(|name| (label(name), "g".to_owned()));
    let labels = |more: &[(&'static str, String)]| {
        let own = decision.labels(&settings.job).into_iter().chain(more.iter().cloned());
        let all = own.map(|(name, value)| (name.to_owned(), value)).chain(group());
        all.map(|(name, value)| format!("{name}={}", quoted(&value))).collect::<Vec<_>>().join(",")
    };
    let active = format!("satisflow_alert_active{{{}}}", labels(&[("instance", "a".to_owned())]));
    let complete = format!("satisflow_kpi_complete{{job={}}}", quoted(&settings.job));
    let case = |name: &str, decided: &str, known: &str, checks| Case {
        name: format!("{} in {}: {name}", decision.alert, decision.window),
        series: vec![(active.clone(), decided.to_owned()), (complete.clone(), known.to_owned())],
        alert: labels(&[("alertname", decision.alert.clone())]),
        checks,
    };
    [
        case("what is decided is carried", "0x4 1x4 0x9", "1x20", vec![(90, false), (240, true), (420, false)]),
        case("a service that is gone resolves nothing", "1x4 stale", "1x4 stale", vec![(90, true), (3000, true)]),
        case("whoever takes over tells", "1x4 stale", "1x4 stale 1x20", vec![(90, true), (600, false)]),
    ]
}

pub(crate) fn tests(file: &str, settings: &Settings, thresholds: &[Threshold], decisions: &[Decision]) -> String {
    let of_kpis = thresholds.iter().flat_map(|threshold| threshold_cases(settings, threshold));
    let decided = decisions.iter().flat_map(|decision| decision_cases(settings, decision));
    let of_kpis: Vec<Case> = of_kpis.chain(decided).collect();
    let cases: String = health_cases(settings).iter().chain(&of_kpis).map(text).collect();
    format!(
        "# Made by `satisflow rules`; run by `promtool test rules`.\nrule_files: [{}]\nevaluation_interval: {STEP_SECS}s\ntests:\n{cases}",
        quoted(file)
    )
}
