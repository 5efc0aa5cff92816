//! Tables of the manual that benchmarks make and that are not of time: what is false, late, or different.

use std::process::Command;

use satisflow_testkit::{binary, repository};

fn benchmark(arguments: &[&str]) -> String {
    let done = Command::new(binary().unwrap().with_file_name("satisflow-bench")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
    text
}

/// The tables of a text, as they are written.
fn tables(text: &str) -> Vec<String> {
    let mut tables = vec![String::new()];
    for line in text.lines() {
        match (line.starts_with('|'), tables.last_mut().unwrap()) {
            (true, table) => *table += &format!("{line}\n"),
            (false, table) if !table.is_empty() => tables.push(String::new()),
            (false, _) => {}
        }
    }
    tables.retain(|table| !table.is_empty());
    tables
}

#[test]
fn the_simulation_of_alerts_gives_the_tables_of_the_manual() {
    let manual = std::fs::read_to_string(repository().join("docs/alerting.md")).unwrap();
    let made = tables(&benchmark(&["alerts"]));
    assert_eq!(made.len(), 2, "{made:#?}");
    for table in made {
        assert!(manual.contains(&table), "docs/alerting.md does not have\n{table}");
    }
}

/// The first column of each row: what the query is for.
fn names(table: &str) -> Vec<&str> {
    table.lines().skip(2).filter_map(|row| row.split('|').nth(1).map(str::trim)).collect()
}

#[test]
fn a_dashboard_s_queries_give_what_duckdb_gives_and_stand_in_the_manual() {
    let manual = std::fs::read_to_string(repository().join("docs/benchmarks.md")).unwrap();
    let made = benchmark(&["queries", "--events", "40000", "--days", "180"]);
    let made = tables(&made);
    let shown = tables(&manual).into_iter().find(|table| table.starts_with("| query | rows |")).unwrap();
    assert_eq!(names(&made[0]), names(&shown));
    assert!(names(&shown).len() >= 12);
    let with_rows = made[0].lines().skip(2).filter(|row| row.split('|').nth(2) != Some(" 0 ")).count();
    assert!(with_rows >= 13, "hardly any query finds something: {}", made[0]);
}
