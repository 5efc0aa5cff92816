//! docs/domain.md lists every row of the domain, and says what the packs say and give.

use std::collections::BTreeSet;
use std::path::Path;

use satisflow_testkit::repository;

use crate::packs::packs;

/// Numbers up to `LAST` that name no row of the domain.
const UNUSED: [usize; 2] = [34, 55];
const LAST: usize = 72;

/// A row of the table: its number, `pack/metric` of its definitions, and what is missing.
struct Row {
    number: usize,
    definitions: Vec<(String, String)>,
    missing: String,
}

fn text() -> String {
    std::fs::read_to_string(repository().join("docs/domain.md")).unwrap()
}

fn table() -> Vec<Row> {
    text().lines().filter(|line| line.starts_with("| S")).map(row).collect()
}

fn row(line: &str) -> Row {
    let [_, number, _, definitions, missing, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
        panic!("not of four columns: {line}");
    };
    let named = definitions.split(", ").filter(|named| !named.is_empty()).map(|named| {
        let (pack, metric) = named.trim_matches('`').split_once('/').unwrap();
        (pack.to_owned(), metric.to_owned())
    });
    Row { number: number[1..].parse().unwrap(), definitions: named.collect(), missing: missing.to_owned() }
}

/// KPIs of which a pack has golden numbers, which are those that the program gives.
fn golden_kpis(pack: &Path) -> BTreeSet<String> {
    let rows = std::fs::read_to_string(pack.join("golden.csv")).unwrap();
    rows.lines().skip(1).map(|row| row.split(',').next().unwrap().to_owned()).collect()
}

/// Numbers of rows that a page names.
fn claimed(page: &str) -> BTreeSet<usize> {
    let words = page.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.strip_prefix('S')?.parse().ok()).collect()
}

#[test]
fn every_row_of_the_domain_is_listed_once_with_what_computes_it_or_what_is_missing() {
    let numbers: Vec<usize> = table().iter().map(|row| row.number).collect();
    let [whole, not_yet] = [
        table().iter().filter(|row| row.missing.is_empty()).count(),
        table().iter().filter(|row| row.definitions.is_empty()).count(),
    ];
    let summary = format!("{whole} rows are whole, {} in part, {not_yet} not yet", numbers.len() - whole - not_yet);
    assert!(text().contains(&summary), "{summary}");
    assert_eq!(numbers, (1..=LAST).filter(|number| !UNUSED.contains(number)).collect::<Vec<_>>());
    for Row { number, definitions, missing } in table() {
        assert!(!definitions.is_empty() || !missing.is_empty(), "S{number} says nothing");
        for (pack, metric) in definitions {
            let folder = repository().join("catalogs").join(&pack);
            assert!(folder.is_dir(), "S{number}: there is no pack `{pack}`");
            assert!(golden_kpis(&folder).contains(&metric), "S{number}: `{pack}` has no numbers of `{metric}`");
        }
    }
}

#[test]
fn a_pack_names_the_rows_that_the_table_gives_it() {
    for pack in packs() {
        let name = pack.file_name().unwrap().to_string_lossy().into_owned();
        let given = table().into_iter().filter(|row| row.definitions.iter().any(|(pack, _)| *pack == name));
        let given: BTreeSet<usize> = given.map(|row| row.number).collect();
        let page = std::fs::read_to_string(pack.join("README.md")).unwrap();
        assert_eq!(claimed(&page), given, "{name}: on the left its README.md, on the right docs/domain.md");
    }
}
