//! Each target: its corpus as committed, then mutated.
//!
//! An input that breaks a promise is written to `failed/<target>` in the folder
//! of build outputs, and belongs into `fuzz/corpus/<target>` once mended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use satisflow_fuzz::{Mutator, Settings};

use crate::{states, targets};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs a target over its corpus, and `inputs` times the factor mutated inputs.
fn run(name: &str, inputs: u64, target: fn(&[u8])) {
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "the corpus of {name} is thin");
    let settings = Settings::from_environment();
    corpus.iter().for_each(|input| try_one(name, input, target));
    let mut mutator = Mutator::new(settings.seed);
    for _ in 0..inputs * settings.factor {
        try_one(name, &mutator.input(&corpus), target);
    }
}

fn try_one(name: &str, input: &[u8], target: fn(&[u8])) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, input).unwrap();
        panic!("{name}: the input is in {}", file.display());
    }
}

#[test]
fn decode() {
    run("decode", 4_000, targets::decode);
}

#[test]
fn mapping() {
    run("mapping", 1_500, targets::mapping);
}

#[test]
fn time() {
    run("time", 1_500, targets::time);
}

#[test]
fn number() {
    run("number", 3_000, targets::number);
}

#[test]
fn config() {
    run("config", 500, targets::config);
}

#[test]
fn catalog() {
    run("catalog", 100, targets::catalog);
}

#[test]
fn snapshot() {
    run("snapshot", 5_000, states::snapshot);
}

#[test]
fn identities() {
    run("identities", 2_000, states::identities);
}
