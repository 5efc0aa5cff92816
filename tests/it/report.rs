//! Reports of periods: the same bytes for the same moment, whatever comes later; every form; every refusal.

use satisflow_testkit::repository;

use crate::place::{Place, offline};

const FORMATS: [&str; 4] = ["md", "html", "csv", "json"];

/// A lake with the sample of weeks.
fn weeks() -> Place {
    let pack = repository().join("catalogs/weekly");
    let place = offline(&format!("time: data\ncatalog: '{}'", pack.join("catalog.yaml").display()));
    place.program.succeed(&["replay", pack.join("events.jsonl").to_str().unwrap()]).unwrap();
    place
}

fn report(place: &Place, more: &[&str]) -> String {
    place.program.succeed(&[&["--log", "error", "report"], more].concat()).unwrap()
}

fn last_publication(place: &Place) -> String {
    let query = "select cast(max(computed_at) as varchar) from kpis";
    let out = place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
    out.lines().nth(1).unwrap().to_owned()
}

/// An event of the week from the 2nd to the 8th of November, which is 2026-W45.
fn late(place: &Place) {
    let event = "{\"event_id\":\"late\",\"kind\":\"rating\",\"event_time\":\"2026-11-04T03:00:00Z\",\
                 \"department\":\"a|b <i>,\\\"c\\\"\",\"agent\":\"Chen\",\"store\":\"East\",\"score\":1,\"scale\":\"1-5\"}\n";
    std::fs::write(place.path().join("late.jsonl"), event).unwrap();
    place.program.succeed(&["replay", "late.jsonl"]).unwrap();
}

#[test]
fn a_moments_report_is_the_same_bytes_also_when_more_was_published() {
    let place = weeks();
    let then = last_publication(&place);
    let of =
        |format: &str, more: &[&str]| report(&place, &[&["--period", "2026-W45", "--format", format], more].concat());
    let first = FORMATS.map(|format| of(format, &[]));
    assert_eq!(FORMATS.map(|format| of(format, &[])), first, "the same again");
    let as_of = FORMATS.map(|format| of(format, &["--as-of", &then]));
    assert_eq!(as_of, first, "the last publication is meant where no moment is named");
    assert_eq!(
        FORMATS.map(|format| of(format, &["--as-of", "2026-01-01"])).map(|text| text.contains("csat")),
        [false; 4]
    );
    late(&place);
    assert_eq!(FORMATS.map(|format| of(format, &["--as-of", &then])), first, "a late event changes nothing of then");
    let now = FORMATS.map(|format| of(format, &[]));
    for ((format, before), now) in FORMATS.iter().zip(&first).zip(&now) {
        assert!(before != now && now.contains("late") && !before.contains("late"), "{format}: {now}");
    }
    let lake = place.path().join("lake");
    let catalog = repository().join("catalogs/weekly/catalog.yaml");
    let by_itself = ["--lake", lake.to_str().unwrap(), "--catalog", catalog.to_str().unwrap()];
    assert_eq!(of("csv", &by_itself), now[2], "without a configuration");
}

#[test]
fn each_form_names_revisions_and_escapes_what_events_say() {
    let place = weeks();
    late(&place);
    let of = |format: &str| report(&place, &["--period", "2026-W45", "--format", format, "--kpi", "weekly_csat"]);
    let csv = of("csv");
    let mut lines = csv.lines();
    let heading = "kpi,window_name,grouping_set,agent,category,department,store,window_start,window_end,value,numerator,\
                   denominator,n,n_eff,se,ci_low,ci_high,status,revision,reason,computed_at,fingerprint";
    assert_eq!(lines.next(), Some(heading));
    let total = lines.next().unwrap();
    assert!(total.starts_with("weekly_csat,week,,,,,,2026-11-01T16:00:00Z,2026-11-08T16:00:00Z,52.5"), "{total}");
    assert!(total.contains(",16,") && total.contains(",ok,2,late,"), "{total}");
    assert!(csv.contains("\"a|b <i>,\"\"c\"\"\""), "{csv}");
    assert!(!csv.contains("weekly_complaint_count"), "another KPI was asked for");
    let json: serde_json::Value = serde_json::from_str(&of("json")).unwrap();
    let rows = json["kpis"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), csv.lines().count() - 1);
    assert_eq!((&rows[0]["revision"], &rows[0]["reason"], &rows[0]["n"]), (&2.into(), &"late".into(), &16.into()));
    assert!(rows.iter().any(|row| row["group"]["department"] == "a|b <i>,\"c\""), "{json}");
    let html = of("html");
    assert!(html.contains("department = a|b &lt;i&gt;,&quot;c&quot;") && !html.contains("<i>"), "{html}");
    let markdown = of("md");
    assert!(markdown.contains("department = a\\|b \\<i\\>,\"c\" |"), "{markdown}");
    assert!(markdown.contains("| all | 52.5 | ") && markdown.contains(" | 16 | ok | 2 | late | "), "{markdown}");
}

#[test]
fn what_can_not_be_reported_is_said_with_a_way_out() {
    let place = offline("time: data");
    let refused = |more: &[&str], told: &str| {
        let done = place.program.run(&[&["--log", "error", "report"], more].concat()).unwrap();
        assert!(done.code != 0 && done.err.contains(told), "{more:?}: {}{}", done.out, done.err);
        assert_eq!(done.out, "", "{more:?}");
    };
    refused(&["--period", "2026-H3"], "`2026-H3` is not a period: write a year (2026), half-year (2026-H1), quarter");
    refused(&["--period", "2026-11", "--kpi", "cast"], "the catalog has no KPI `cast`; its KPIs are ");
    refused(&["--period", "2026-11"], "lake");
    std::fs::write(place.path().join("none.jsonl"), "").unwrap();
    place.program.succeed(&["replay", "none.jsonl"]).unwrap();
    refused(&["--period", "2026-11"], "the lake has no KPI rows");
    let weekly = repository().join("catalogs/weekly/catalog.yaml");
    let of_weeks = ["--lake", "lake", "--catalog", weekly.to_str().unwrap(), "--period", "2026-H1"];
    refused(&of_weeks, "no calendar window of a half_year");
    refused(&of_weeks, "`week` (week): add one to its `windows`, such as `half_year: { calendar: half_year }`");
}
