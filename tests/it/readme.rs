//! The commands of the READMEs, run as they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use satisflow_testkit::{free_port, repository, wait_for};

use crate::page;
use crate::place::{LIMIT, Place, brokers, offline, scrape};
use crate::shell::{renumbered, run, scripts};

#[test]
fn the_readmes_two_commands_are_targets_and_the_others_run_as_written() {
    let [make, demo, alert, file] = &scripts("README.md")[..] else { panic!("the README has other blocks now") };
    let targets: Vec<&str> = make.lines().filter_map(|line| line.strip_prefix("make ")?.split(' ').next()).collect();
    assert_eq!(targets, ["demo", "test"]);
    let planned = Command::new("make").arg("-n").args(&targets).current_dir(repository()).output().unwrap();
    assert!(planned.status.success(), "{}", String::from_utf8_lossy(&planned.stderr));

    let place = offline("");
    std::fs::remove_file(place.path().join("satisflow.yaml")).unwrap();
    let said = run(&place, file, &[]);
    for part in ["csat", "complaint_rate", " 0 differences", "reason"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let (sql, http) = (free_port().unwrap(), free_port().unwrap());
    let [sql_listen, http_listen] = [sql, http].map(|port| format!("127.0.0.1:{port}"));
    let arguments = ["demo", "--sql-listen", &sql_listen, "--http-listen", &http_listen];
    let mut running = place.program.start("demo", &arguments).unwrap();
    let shown = || scrape(http).filter(|text| text.contains("satisflow_kpi_value{"));
    wait_for("the demo's first KPI", LIMIT, shown).unwrap();
    // Every metric is documented, and every documented one is there sooner or later.
    let documented = documented_metrics();
    wait_for("every documented metric", LIMIT, || {
        let shown = metrics_of(&scrape(http)?);
        assert_eq!(shown.difference(&documented).collect::<Vec<_>>(), Vec::<&String>::new(), "in docs/metrics.md");
        documented.is_subset(&shown).then_some(())
    })
    .unwrap();
    let ports = [("5433", sql), ("8080", http), ("9090", free_port().unwrap())];
    let ports = BTreeMap::from(ports.map(|(written, port)| (written, port.to_string())));
    std::os::unix::fs::symlink(repository().join("catalogs"), place.path().join("catalogs")).unwrap();
    let said = run(&place, &renumbered(&format!("{demo}\n{alert}"), &ports), &[]);
    for part in ["window_name", "satisflow_kpi_value{", "\"kind\"", " csat | ", "ALERTS{"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    page::alerts::are_seen_at(http);
    running.signal("INT").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// But those of a webhook's receiver, which the demo has none of.
fn documented_metrics() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    names.filter(|name| !name.starts_with("satisflow_webhook_")).collect()
}

fn metrics_of(scrape: &str) -> BTreeSet<String> {
    let names = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned));
    names.collect()
}

fn copy(from: &Path, place: &Place) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
}

#[test]
fn the_drug_reviews_readme_runs_as_written_from_a_file_and_through_kafka() {
    let [file, kafka, check] = &scripts("examples/drug-reviews/README.md")[..] else { panic!("other blocks now") };
    let example = repository().join("examples/drug-reviews");
    let place = offline("");
    copy(&example, &place);
    let said = run(&place, &format!("{file}\n{check}"), &[]);
    assert!(said.contains("69.254341164454") && said.contains("82.499160228418"), "{said}");

    let through = offline("");
    copy(&example, &through);
    std::fs::copy(place.path().join("reviews.jsonl"), through.path().join("reviews.jsonl")).unwrap();
    let topic = ["generate", "--events", "0", "--brokers", &brokers(), "--topic", "drug-reviews-by-hand"];
    through.program.succeed(&topic).unwrap();
    let here = kafka.replace("127.0.0.1:9092", &brokers()).replace("-t drug-reviews ", "-t drug-reviews-by-hand ");
    let text = std::fs::read_to_string(through.path().join("satisflow.yaml")).unwrap();
    let text = text.replace("topic: drug-reviews", "topic: drug-reviews-by-hand");
    std::fs::write(through.path().join("satisflow.yaml"), text).unwrap();
    let listeners = [("SQL_LISTEN", through.sql), ("HTTP_LISTEN", through.http)];
    run(&through, &here, &listeners.map(|(name, port)| (name, format!("127.0.0.1:{port}"))));
    let said = run(&through, check, &[]);
    assert!(said.contains("69.254341164454") && said.contains("82.499160228418"), "{said}");
}
