//! The manual: its commands run as they are written, and its links lead somewhere.
//!
//! The blocks of a page run in their order, in one shell, in a folder of its own with the configuration and
//! the catalog of the demo that is running. All pages share the demo and a broker; what else a page starts
//! is its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use satisflow_testkit::{free_port, repository, wait_for};

use crate::place::{LIMIT, Place, brokers, offline, scrape};
use crate::shell::{Block, blocks, renumbered, run};

mod apart;

/// The order of the book.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Pages beside docs/.
const MORE: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/drug-reviews/README.md"];
/// Languages that hold no commands.
const NO_COMMANDS: [&str; 5] = ["", "json", "python", "sql", "yaml"];
/// Ports that a page says of services it starts itself.
const OWN_PORTS: [&str; 4] = ["5434", "8081", "9090", "9093"];
/// What a page has left running ends with it.
const PREAMBLE: &str = "exec 2>&1\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n";

/// The pages of a folder and those below it, relative to the repository.
fn pages(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
        let path = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
        if repository().join(&path).is_dir() {
            found.extend(pages(&path));
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is done about a block.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    Run,
    /// By a test of its own.
    Apart,
    NotRun {
        reason: &'a str,
    },
    NoCommands,
}

/// `None`: it might hold commands, and does not say why they are not run.
fn kind(info: &str) -> Option<Kind<'_>> {
    if let Some(name) = info.strip_prefix(apart::APART) {
        return apart::TESTS.iter().any(|(test, _)| *test == name).then_some(Kind::Apart);
    }
    match info.strip_prefix("sh untested:").map(str::trim) {
        Some(reason) if reason.contains(' ') => Some(Kind::NotRun { reason }),
        None if info == "sh" => Some(Kind::Run),
        None if NO_COMMANDS.contains(&info) => Some(Kind::NoCommands),
        _ => None,
    }
}

#[test]
fn a_block_is_run_or_says_why_not() {
    assert_eq!(kind("sh"), Some(Kind::Run));
    assert_eq!(kind("sh untested: needs a cluster"), Some(Kind::NotRun { reason: "needs a cluster" }));
    assert_eq!(kind("sh apart: a_bucket_is_copied_as_written"), Some(Kind::Apart));
    for way_around in
        ["sh apart: no_such_test", "sh untested", "sh untested:", "sh untested: x", "bash", "console", "sh ", "shell"]
    {
        assert_eq!(kind(way_around), None, "{way_around}");
    }
}

/// The commands of a page that are run; says which are not.
fn script(page: &str) -> String {
    let mut script = String::new();
    for Block { line, info, text } in blocks(page) {
        match kind(&info) {
            Some(Kind::Run) => script += &format!("echo '== {page}:{line}'\n{text}"),
            Some(Kind::NotRun { reason }) => {
                eprintln!("{page}:{line} is not run: {reason}");
                check_targets(&text);
            }
            Some(Kind::Apart | Kind::NoCommands) => {}
            None => panic!("{page}:{line}: `{info}`: write `sh`, or `sh untested: ` and the reason"),
        }
    }
    script
}

/// Of `make` it is known without running it whether there is such a target.
fn check_targets(commands: &str) {
    for target in commands.lines().filter_map(|line| line.strip_prefix("make ")) {
        let target = target.split(' ').next().unwrap();
        let planned = Command::new("make").args(["-n", target]).current_dir(repository()).output().unwrap();
        assert!(planned.status.success(), "{target}: {}", String::from_utf8_lossy(&planned.stderr));
    }
}

/// Runs a page beside the demo.
fn run_page(demo: &Place, page: &str, script: &str) {
    let place = offline("");
    std::fs::copy(repository().join("catalogs/demo/catalog.yaml"), place.path().join("catalog.yaml")).unwrap();
    let config = format!(
        "version: 1\nlake: {{ url: '{}' }}\nkafka: {{ brokers: '{}' }}\nsources: [{{ topic: feedback }}]\n\
         catalog: catalog.yaml\n",
        demo.path().join("lake").display(),
        brokers()
    );
    std::fs::write(place.path().join("satisflow.yaml"), config).unwrap();
    let broker = brokers().rsplit(':').next().unwrap().to_owned();
    let shared = [("5433", demo.sql.to_string()), ("8080", demo.http.to_string()), ("9092", broker)];
    let own = OWN_PORTS.map(|port| (port, free_port().unwrap().to_string()));
    let ports: BTreeMap<&str, String> = shared.into_iter().chain(own).collect();
    run(&place, &format!("{PREAMBLE}{}", renumbered(script, &ports)), &[]);
    eprintln!("{page} runs");
}

#[test]
fn every_command_of_the_manual_runs_as_written() {
    let scripts: Vec<(String, String)> = pages("docs").into_iter().map(|page| (script(&page), page)).collect();
    let scripts: Vec<_> = scripts.into_iter().filter(|(script, _)| !script.is_empty()).collect();
    assert!(scripts.len() > 5, "{scripts:?}");
    let demo = offline("");
    let [sql, http] = [demo.sql, demo.http].map(|port| format!("127.0.0.1:{port}"));
    let arguments = ["demo", "--lake", "lake", "--sql-listen", &sql, "--http-listen", &http];
    let mut running = demo.program.start("demo", &arguments).unwrap();
    let shown = || scrape(demo.http).filter(|text| text.contains("state=\"final\""));
    wait_for("the demo's first final KPI", LIMIT, shown).unwrap();
    std::thread::scope(|scope| {
        for (script, page) in &scripts {
            scope.spawn(|| run_page(&demo, page, script));
        }
    });
    running.signal("INT").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// A link into the repository.
struct Link {
    written: String,
    file: PathBuf,
    /// Heading of the file.
    part: Option<String>,
}

/// What a page says outside of its blocks of code.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

fn links(page: &str) -> Vec<Link> {
    let here = repository().join(page);
    let prose = prose(&here);
    let written = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let link = |written: &str| {
        let (path, part) = written.split_once('#').map_or((written, None), |(path, part)| (path, Some(part)));
        let file = if path.is_empty() { here.clone() } else { here.parent().unwrap().join(path) };
        Link { written: written.to_owned(), file, part: part.map(str::to_owned) }
    };
    written.filter(|written| !written.contains("://")).map(link).collect()
}

/// The names of a page's headings, as GitHub and mdBook make them.
fn headings(page: &Path) -> BTreeSet<String> {
    let prose = prose(page);
    let titles = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |char: &char| char.is_alphanumeric() || [' ', '-', '_'].contains(char);
    titles.map(|title| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// Whether a link leads somewhere, in the repository and in the book.
fn leads(link: &Link, in_book: &BTreeSet<PathBuf>) -> bool {
    let Ok(file) = link.file.canonicalize() else { return false };
    let is_page = file.extension().is_some_and(|extension| extension == "md");
    let part_is_there = link.part.as_ref().is_none_or(|part| headings(&file).contains(part));
    file.is_file() && part_is_there && (!is_page || in_book.contains(&file))
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_in_the_book() {
    let in_book: BTreeSet<PathBuf> =
        links(SUMMARY).into_iter().map(|link| link.file.canonicalize().expect(&link.written)).collect();
    let mut wrong = Vec::new();
    for page in pages("docs").into_iter().chain(MORE.map(str::to_owned)) {
        let astray = links(&page).into_iter().filter(|link| !leads(link, &in_book));
        wrong.extend(astray.map(|link| format!("{page}: {}", link.written)));
        if page != SUMMARY && !in_book.contains(&repository().join(&page).canonicalize().unwrap()) {
            wrong.push(format!("{page} is not in {SUMMARY}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
