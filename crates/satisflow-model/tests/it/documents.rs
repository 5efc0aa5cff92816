//! docs/events.md says what the code says.

use std::path::Path;

use satisflow_model::{KINDS, Reason, fields, records_schema};

fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    std::fs::read_to_string(root.join("docs/events.md")).unwrap()
}

/// Rows of the table under a heading.
fn rows(document: &str, heading: &str) -> Vec<String> {
    let section = document.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect()
}

#[test]
fn every_kind_is_documented_as_it_is() {
    let kind = |kind: &satisflow_model::Kind| {
        let required: Vec<String> = kind.required.iter().map(|name| format!("`{name}`")).collect();
        format!("| `{}` | {} | {} |", kind.name, required.join(", "), kind.doc)
    };
    assert_eq!(rows(&document(), "Kinds"), KINDS.iter().map(kind).collect::<Vec<_>>());
}

#[test]
fn every_field_is_documented_as_it_is() {
    let schema = records_schema();
    let field = |f: &satisflow_model::Field| {
        let column = schema.field_with_name(f.name).unwrap().data_type();
        format!("| `{}` | {column} | {} |", f.name, f.doc)
    };
    let mut expected: Vec<String> = fields().iter().map(field).collect();
    expected.push("| `answers` | Map of text | Item to number or label. |".to_owned());
    expected.push("| `attributes` | Map of text | Anything else. |".to_owned());
    expected.sort_by_key(|row| row.split('`').nth(1).map(str::to_owned));
    assert_eq!(rows(&document(), "Fields"), expected);
}

#[test]
fn every_reason_of_a_reject_is_documented() {
    let named: Vec<String> =
        rows(&document(), "Rejects").iter().map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    assert_eq!(named, Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>());
}
