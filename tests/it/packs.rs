//! The KPI packs: what their catalogs give is what independent programs compute.

use std::path::{Path, PathBuf};
use std::process::Command;

use satisflow_testkit::repository;

use crate::place::offline;

mod mixed;

/// Folders of the packs.
pub(crate) fn packs() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository().join("catalogs")).unwrap();
    folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("README.md").exists()).collect()
}

/// What a pack's own program makes of its sample.
fn golden(pack: &Path) -> String {
    let done = Command::new("python3").arg(pack.join("golden.py")).arg(repository()).output().unwrap();
    assert!(done.status.success(), "{}: {}", pack.display(), String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn every_pack_gives_the_numbers_of_its_independent_program() {
    let packs = packs();
    assert!(packs.len() >= 38);
    for pack in &packs {
        let committed = std::fs::read_to_string(pack.join("golden.csv")).unwrap();
        assert!(committed == golden(pack), "{}: golden.csv is not what golden.py gives", pack.display());
    }
    let done = offline("").program.run(&["--log", "error", "packs", "test"]).unwrap();
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    for pack in &packs {
        let rows = std::fs::read_to_string(pack.join("golden.csv")).unwrap().lines().count() - 1;
        let name = pack.file_name().unwrap().to_string_lossy();
        let line = format!("{name}: {rows} rows, equal the golden numbers; audit: 0 differences");
        assert!(done.out.contains(&line), "{line}: {}", done.out);
    }
}

/// Worked examples of the sources, each in a sample of its own month, group or day.
#[test]
fn the_worked_examples_stand_in_the_golden_numbers() {
    for (pack, row) in [
        ("four-level", "scorecard_score,half_year,segment,,fixture,2026-06-30T16:00:00Z,74.800000000000,1"),
        ("four-level", "scorecard_score,half_year,segment,,eighty,2026-12-31T16:00:00Z,80.000000000000,1"),
        ("four-level", "partner_share,half_year,segment,,fixture,2026-06-30T16:00:00Z,0.000000000000,1"),
        ("four-level", "partner_share,half_year,segment,,eighty,2026-12-31T16:00:00Z,1.000000000000,1"),
        ("national-index", "acsi_satisfaction_index,quarter,product,oracle,2026-06-30T16:00:00Z,74.298300000000,1"),
        (
            "seller-ratings",
            "seller_rating,180d,\"rating_dimension,seller\",service,Nineteen,2026-02-13T00:00:00Z,4.800000000000,20",
        ),
        (
            "seller-ratings",
            "seller_rating,month,\"rating_dimension,seller\",service,Cap,2026-06-30T16:00:00Z,2.400000000000,5",
        ),
        (
            "seller-ratings",
            "seller_rating,six_months,\"rating_dimension,seller\",service,Nineteen,2026-07-31T16:00:00Z,4.800000000000,20",
        ),
        (
            "seller-ratings",
            "seller_rating,six_months,\"rating_dimension,seller\",service,Nineteen,2026-08-31T16:00:00Z,2.000000000000,1",
        ),
        ("representative", "respondent_score,month,department,,Fixture,2026-06-30T16:00:00Z,72.000000000000,100"),
        ("representative", "raked_score,month,department,,Fixture,2026-06-30T16:00:00Z,67.000000000000,100"),
        ("representative", "recent_score,28d,department,,Fading,2026-08-18T00:00:00Z,28.571428571429,3"),
        (
            "seller-ratings",
            "uncapped_rating,month,\"rating_dimension,seller\",service,Cap,2026-06-30T16:00:00Z,2.000000000000,7",
        ),
        ("failure-index", "points_vital,month,failure_type,,invoice,2026-07-31T16:00:00Z,1.000000000000,1"),
        ("failure-index", "points_vital,month,failure_type,,damaged,2026-07-31T16:00:00Z,0.000000000000,1"),
        ("failure-index", "points_up_to,month,failure_type,,invoice,2026-07-31T16:00:00Z,0.855192238591,1"),
        ("failure-index", "count_vital,month,failure_type,,reopened,2026-07-31T16:00:00Z,1.000000000000,1"),
        ("failure-index", "count_vital,month,failure_type,,traces,2026-07-31T16:00:00Z,0.000000000000,1"),
        ("failure-index", "count_up_to,month,failure_type,,reopened,2026-07-31T16:00:00Z,0.831003039514,1"),
        ("processes", "process_gap,month,region,,Fixture,2026-07-31T16:00:00Z,6.600000000000,6"),
        ("processes", "logistics_gap,month,region,,Fixture,2026-07-31T16:00:00Z,4.260000000000,4"),
        ("intervention", "rate_change,all,department,North,2026-07-31T00:00:00Z,-0.450000000000,1"),
    ] {
        let golden = std::fs::read_to_string(repository().join("catalogs").join(pack).join("golden.csv")).unwrap();
        assert!(golden.lines().any(|line| line == row), "{pack}: {row}");
    }
}

/// One category however it is written, and the lake keeps what came.
#[test]
fn categories_are_folded_in_kpis_and_kept_as_they_came_in_events() {
    let pack = repository().join("catalogs/complaints");
    let place = offline(&format!("time: data\ncatalog: '{}'", pack.join("catalog.yaml").display()));
    place.program.succeed(&["replay", pack.join("events.jsonl").to_str().unwrap()]).unwrap();
    let column = |query: &str| {
        let out =
            place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
        out.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let kpis =
        "select distinct category from kpi_current where grouping_set = 'category' and kpi = 'issue_count' order by 1";
    assert_eq!(column(kpis), ["Price", "产品质量", "服务", "物流", "\u{fffd}"]);
    let raw = column("select distinct category from events where category is not null order by 1");
    assert_eq!(
        raw,
        [" 产品质量\u{3000}", "Price", "产品质量", "服务", "服務", "物流", "產品質量", "Ｐｒｉｃｅ", "\u{fffd}"]
    );
    let folded = "select count(distinct fold_label(category)) from events";
    assert_eq!(column(folded), ["5"], "the same function for clients");
}

/// Each wave but one misses one thing of its scorecard.
#[test]
fn a_wave_that_misses_its_scorecard_is_not_representative() {
    let pack = repository().join("catalogs/representative");
    let place = offline(&format!("time: data\ncatalog: '{}'", pack.join("catalog.yaml").display()));
    place.program.succeed(&["replay", pack.join("events.jsonl").to_str().unwrap()]).unwrap();
    let query = "select campaign, status, value is null from kpi_current where kpi = 'wave_score' \
                 and campaign <> '(none)' order by 1";
    let out = place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
    let waves: Vec<&str> = out.lines().skip(1).collect();
    let missed = ["few", "heavy", "lopsided", "silent"].map(|wave| format!("{wave},not_representative,false"));
    let expected =
        [&missed[..], &["solid,insufficient,false".to_owned(), "strangers,not_representative,false".to_owned()]];
    assert_eq!(waves, expected.concat());
}

#[test]
fn a_pack_of_ones_own_is_made_and_a_wrong_number_in_it_is_found() {
    let place = offline("");
    let packs = |arguments: &[&str]| place.program.run(&[&["--log", "error", "packs"], arguments].concat()).unwrap();
    assert!(packs(&["list"]).out.contains("nps "), "{}", packs(&["list"]).out);
    assert_eq!(packs(&["init", "nps", "mine"]).code, 0);
    assert_eq!(packs(&["init", "nps", "mine"]).code, 1, "it must not write over a folder");
    let mine = place.path().join("mine");
    let file = mine.join("golden.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(golden(&mine), text, "its program runs where it is");
    assert_eq!(packs(&["test", "mine"]).code, 0);
    std::fs::write(&file, text.replacen("0.000000000000", "0.000000000001", 1)).unwrap();
    let wrong = packs(&["test", "mine"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.out.contains("missing: ") && wrong.out.contains("not expected: "), "{}", wrong.out);
    std::fs::remove_file(&file).unwrap();
    let without = packs(&["test", "mine"]);
    assert!(without.code == 1 && without.err.contains("no golden.csv"), "{}", without.err);
    let unknown = packs(&["show", "npz"]);
    assert!(unknown.code == 1 && unknown.err.contains("five-level"), "{}", unknown.err);
}

/// A sample with void, late and repeated events, whose golden numbers are made here.
#[test]
fn indexes_answers_and_the_few_of_a_key_give_the_numbers_of_an_independent_program() {
    let place = offline("");
    for file in ["catalog.yaml", "events.jsonl", "golden.py"] {
        std::fs::copy(repository().join("tests/fixtures/aggregates").join(file), place.path().join(file)).unwrap();
    }
    let expected = golden(place.path());
    std::fs::write(place.path().join("golden.csv"), &expected).unwrap();
    let done = place.program.run(&["--log", "error", "packs", "test", "."]).unwrap();
    let rows = expected.lines().count() - 1;
    assert!(rows > 900, "{rows} rows say little");
    // F7: of five ratings of 1 by one buyer in a month three count.
    for line in [
        "rating_mean,month,department,,Shop,,2026-06-30T16:00:00Z,2.000000000000,7",
        "capped_mean,month,department,,Shop,,2026-06-30T16:00:00Z,2.400000000000,5",
    ] {
        assert!(expected.lines().any(|row| row == line), "{line}");
    }
    let line = format!(".: {rows} rows, equal the golden numbers; audit: 0 differences");
    assert!(done.code == 0 && done.out.contains(&line), "{line}: {}{}", done.out, done.err);
}
