//! The rules as Prometheus reads them.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use satisflow_rules::{Decision, Settings, Side, Threshold, rule_file, rule_tests};

fn threshold(kpi: &str, side: Side, bounds: [&str; 2], dimensions: &[&str]) -> Threshold {
    Threshold {
        kpi: kpi.to_owned(),
        description: "It \"tells\" a lot.".to_owned(),
        unit: "points".to_owned(),
        window: "1h".to_owned(),
        dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
        side,
        bound: bounds[0].to_owned(),
        clear: bounds[1].to_owned(),
        n_min: 30,
        for_secs: 300,
        severity: "page".to_owned(),
    }
}

fn thresholds() -> Vec<Threshold> {
    vec![
        threshold("csat", Side::Below, ["60", "65"], &["department"]),
        threshold("complaint_rate", Side::Above, ["0.5", "0.25"], &[]),
        Threshold { n_min: 0, for_secs: 0, ..threshold("returns", Side::Above, ["3", "3"], &["department", "region"]) },
    ]
}

fn decision(dimensions: &[&str]) -> Decision {
    Decision {
        alert: "SatisflowCsatDrop".to_owned(),
        rule: "drop".to_owned(),
        kpi: "csat".to_owned(),
        description: "It \"tells\" a lot.".to_owned(),
        unit: "points".to_owned(),
        window: "1h".to_owned(),
        dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
        side: Side::Below,
        severity: "page".to_owned(),
    }
}

fn decisions() -> Vec<Decision> {
    vec![decision(&[]), decision(&["department", "region"])]
}

/// What promtool says of a rule file and its tests.
fn promtool(rules: &str, tests: &str) -> [(bool, String); 2] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    std::fs::write(folder.path().join("tests.yml"), tests).unwrap();
    [["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]].map(|arguments| {
        let done = Command::new("promtool").args(arguments).current_dir(folder.path()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        (done.status.success(), text)
    })
}

#[test]
fn prometheus_takes_the_rules_and_every_alert_begins_stays_and_ends_as_meant() {
    let settings = Settings::default();
    let rules = rule_file(&settings, &thresholds(), &decisions());
    let [checked, tested] = promtool(&rules, &rule_tests("rules.yml", &settings, &thresholds(), &decisions()));
    assert!(checked.0, "{}\n{rules}", checked.1);
    assert!(checked.1.contains("SUCCESS: 16 rules found"), "{}", checked.1);
    assert!(tested.0, "{}", tested.1);
}

#[test]
fn other_settings_make_rules_that_pass_too() {
    let settings = Settings {
        job: "feed\"back".to_owned(),
        stale_after_secs: 60,
        lag_records_max: 5,
        reject_percent_max: 50,
        external_url: Some("https://kpis.example".to_owned()),
    };
    let (rules, tests) = (
        rule_file(&settings, &[], &[decision(&["region"])]),
        rule_tests("rules.yml", &settings, &[], &[decision(&["region"])]),
    );
    let [checked, tested] = promtool(&rules, &tests);
    assert!(checked.0 && tested.0, "{}{}", checked.1, tested.1);
}

#[test]
fn rules_that_do_less_fail_their_tests() {
    let settings = Settings::default();
    let (rules, tests) = (
        rule_file(&settings, &thresholds(), &decisions()),
        rule_tests("rules.yml", &settings, &thresholds(), &decisions()),
    );
    for (what, other) in [
        ("< 60", "< 59"),
        ("< 65", "< 60"),
        ("> 0.25", "> 0.5"),
        (">= 30", ">= 29"),
        ("unless on () (up", "unless on () (vector(1) or up"),
        ("{job=\"satisflow\",state=\"final\"}", "{job=\"satisflow\",state=\"live\"}"),
        ("newest_event_timestamp_seconds{job", "newest_event_timestamp_seconds{topic=\"none\",job"),
        ("absent(up{job=\"satisflow\"} == 1)", "absent(up{job=\"satisflow\"})"),
        (
            "absent(satisflow_kpi_complete{job=\"satisflow\"} == 1)",
            "max(satisflow_kpi_complete{job=\"satisflow\"}) < 1",
        ),
        ("severity=\"page\"} == 1)", "severity=\"page\"} == 2)"),
        ("unless on () (satisflow_kpi", "unless on () (vector(1) or satisflow_kpi"),
        ("unless on () (satisflow_kpi_complete{job=\"satisflow\"} == 1)", "unless on () (vector(0) == 1)"),
        ("> 900", "> 9000"),
        ("> 100000", "> 99999"),
        ("> 5\n", "> 4\n"),
        ("_differences{job=\"satisflow\"}) > 0", "_differences{job=\"satisflow\"}) > 1"),
    ] {
        assert!(rules.contains(what), "{what}");
        let [checked, tested] = promtool(&rules.replace(what, other), &tests);
        assert!(checked.0 && !tested.0, "{what} as {other}: {}", checked.1);
    }
}
