//! Documents with mistakes, and what is said of them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use satisflow_document::{Decimal, Document, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Shop {
    version: u32,
    #[serde(default)]
    listen: Option<String>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    doors: Vec<Door>,
    #[serde(default)]
    prices: BTreeMap<String, Decimal>,
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Open,
    Closed,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Door {
    width_mm: u32,
}

fn check(text: &str, expected: Expect) {
    let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    let mut problems = Problems::new();
    let shown = match Document::parse_with("shop.yaml", text, &environment) {
        Err(problems) => problems.to_string(),
        Ok(document) => match document.read::<Shop>(&mut problems) {
            Some(shop) => format!("{shop:?}"),
            None => problems.to_string(),
        },
    };
    expected.assert_eq(&shown);
}

#[test]
fn three_mistakes_are_three_problems_with_their_lines() {
    check(
        "version: one\nmode: opne\ndoors:\n  - width_mm: 900\n  - widht_mm: 800\n",
        expect![[r#"
            shop.yaml:1:1: `one` is not a whole number (such as 1000)
            shop.yaml:2:1: `opne` is not one of open, closed (did you mean `open`?)
            shop.yaml:5:5: the field `width_mm` is missing (add `width_mm: ...` here)
            shop.yaml:5:5: unknown field `widht_mm` (did you mean `width_mm`?)"#]],
    );
}

#[test]
fn what_is_right_is_read() {
    check(
        "version: 1\nlisten: 127.0.0.1:${PORT}\nmode: open\ndoors: [{ width_mm: 900 }]\n\
            prices: { a: 0.8, b: \"12.5000\" }\n",
        expect![[
            r#"Shop { version: 1, listen: Some("127.0.0.1:8080"), mode: Some(Open), doors: [Door { width_mm: 900 }], prices: {"a": Decimal("0.8"), "b": Decimal("12.5000")}, key: None }"#
        ]],
    );
}

#[test]
fn what_is_not_yaml_is_said_so() {
    check("version: 1\n  mode: [open\n", expect!["shop.yaml:2:7: mapping values are not allowed in this context"]);
    check("version: 1\nversion: 2\n", expect!["shop.yaml:2:1: duplicated key in mapping"]);
    check("version: 1\n---\nversion: 2\n", expect!["shop.yaml:3:1: only one YAML document is read from a file"]);
}

#[test]
fn a_variable_that_is_not_set_is_a_problem_unless_it_has_a_default() {
    check("version: 1\nlisten: ${NOPE}\n", expect!["shop.yaml:2:9: the environment variable `NOPE` is not set"]);
    check(
        "version: 1\nlisten: ${NOPE:-localhost}\n",
        expect![[r#"Shop { version: 1, listen: Some("localhost"), mode: None, doors: [], prices: {}, key: None }"#]],
    );
}

#[test]
fn a_secret_of_the_wrong_type_is_not_shown() {
    check("version: 1\nkey: [hush, hush]\n", expect!["shop.yaml:2:1: `***` is not text (put it in quotes)"]);
}

#[test]
fn variables_stand_for_numbers_too() {
    check(
        "version: ${VERSION:-7}\n",
        expect!["Shop { version: 7, listen: None, mode: None, doors: [], prices: {}, key: None }"],
    );
    check(
        "version: ${PORT}\nlisten: ${PORT}\n",
        expect![[r#"Shop { version: 8080, listen: Some("8080"), mode: None, doors: [], prices: {}, key: None }"#]],
    );
    check("version: '${PORT}'\n", expect!["shop.yaml:1:1: `8080` is not a whole number (such as 1000)"]);
    check("version: 1\nlisten: ${PORT\n", expect!["shop.yaml:2:9: `${` has no closing `}`"]);
}

#[test]
fn decimals_keep_every_digit_that_is_written() {
    check(
        "version: 1\nprices: { a: 0.12345678901234567890, b: 1.50, c: 2.25, d: -0.10 }\n",
        expect![[
            r#"Shop { version: 1, listen: None, mode: None, doors: [], prices: {"a": Decimal("0.12345678901234567890"), "b": Decimal("1.50"), "c": Decimal("2.25"), "d": Decimal("-0.10")}, key: None }"#
        ]],
    );
}

#[test]
fn unknown_fields_do_not_hide_what_else_is_wrong() {
    let mut problems = Problems::new();
    let document = Document::parse_with("shop.yaml", "version: 3\nlisen: x\n", &|_| None).unwrap();
    let shop = document.read::<Shop>(&mut problems).unwrap();
    assert_eq!((shop.version, problems.len()), (3, 1));
}

#[test]
fn a_document_nested_too_deep_is_a_problem_and_not_the_end_of_the_process() {
    let deep = |text: &str| Document::parse("f", text).map(drop).unwrap_err().to_string();
    for text in ["- ".repeat(100_000), "? ".repeat(100_000), "[".repeat(200)] {
        let said = deep(&text);
        assert!(said.contains("nested more than 64 deep"), "{said}");
    }
    let mut aliases = String::from("a0: &a0 [1]\n");
    for level in 1..100 {
        aliases += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(deep(&aliases).starts_with("f:65:"), "{}", deep(&aliases));
    Document::parse("f", &format!("{}1{}", "[".repeat(64), "]".repeat(64))).unwrap();
    let many = format!("a: \"{}\"", "${A:-}".repeat(100_000));
    assert_eq!(Document::parse("f", &many).unwrap().value("/a").unwrap(), "");
}
