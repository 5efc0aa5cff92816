//! Commands that stand in pages, and how they are run.

use std::collections::BTreeMap;
use std::process::Command;

use satisflow_testkit::repository;

use crate::place::Place;

/// Longest run of a script, s: one that waits for what never comes ends.
const SCRIPT_SECS_MAX: &str = "600";

/// A block of code of a page.
#[derive(Debug, Default)]
pub struct Block {
    /// Number of its first line.
    pub line: usize,
    /// What stands behind its fence: the language, and more.
    pub info: String,
    pub text: String,
}

/// The blocks of code of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository().join(page)).unwrap();
    let (mut found, mut open) = (Vec::new(), None);
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(info)) => Some(Block { line: index + 2, info: info.to_owned(), text: String::new() }),
            (Some(block), None) => Some(Block { text: format!("{}{line}\n", block.text), ..block }),
            (block, _) => {
                found.extend(block);
                None
            }
        };
    }
    assert!(open.is_none(), "{page}: a block does not end");
    found
}

/// The shell's blocks of a page.
pub fn scripts(page: &str) -> Vec<String> {
    blocks(page).into_iter().filter(|block| block.info == "sh").map(|block| block.text).collect()
}

/// Runs a script with the program on its path; gives what it printed.
pub fn run(place: &Place, script: &str, environment: &[(&str, String)]) -> String {
    let folder = place.program.binary().parent().unwrap().display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let mut command = Command::new("timeout");
    command.args([SCRIPT_SECS_MAX, "bash", "-euo", "pipefail", "-c", script]);
    command.current_dir(place.path()).env("PATH", path);
    let done = command.envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script}\n{text}");
    text
}

/// A text with other numbers in place of some.
pub fn renumbered(text: &str, numbers: &BTreeMap<&str, String>) -> String {
    let parts = text.split_inclusive(|char: char| !char.is_ascii_digit()).map(|part| {
        let number = part.trim_end_matches(|char: char| !char.is_ascii_digit());
        format!("{}{}", numbers.get(number).map_or(number, String::as_str), &part[number.len()..])
    });
    parts.collect()
}

#[test]
fn a_port_is_replaced_as_a_whole() {
    let ports = BTreeMap::from([("80", "5433".to_owned()), ("5433", "1".to_owned())]);
    assert_eq!(renumbered("a:80 5433/8080 80", &ports), "a:5433 1/8080 5433");
}
