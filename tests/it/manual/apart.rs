//! Commands of the manual that need more than a folder beside the demo: each block has a test of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use satisflow_testkit::{Minio, free_port, repository, script, wait_for};

use super::pages;
use crate::place::{LIMIT, Place};
use crate::shell::{blocks, run};

/// What stands behind the fence of such a block, before the name of its test.
pub(super) const APART: &str = "sh apart: ";

/// The tests here: a page may name these.
pub(super) const TESTS: [(&str, fn()); 2] = [
    ("a_bucket_is_copied_as_written", a_bucket_is_copied_as_written),
    ("make_kafka_runs_a_broker_until_it_is_ended", make_kafka_runs_a_broker_until_it_is_ended),
];

/// The one block whose test this is.
fn block(test: &str) -> String {
    let all = pages("docs").into_iter().flat_map(|page| blocks(&page));
    let mut own: Vec<String> =
        all.filter(|block| block.info.strip_prefix(APART) == Some(test)).map(|block| block.text).collect();
    assert_eq!(own.len(), 1, "`sh apart: {test}` stands over one block");
    own.remove(0)
}

#[test]
fn a_bucket_is_copied_as_written() {
    let commands = block("a_bucket_is_copied_as_written");
    let minio = Minio::start().unwrap();
    let mut environment = Minio::environment(&minio.address());
    let python = script("python-env.sh").unwrap();
    let path = format!("{}:{}", Path::new(&python).parent().unwrap().display(), std::env::var("PATH").unwrap());
    environment.push(("PATH", path));
    let place =
        Place::with_lake("s3://feedback-lake/production", &environment, "feedback", "127.0.0.1:1", "time: data");
    let copy = Place::with_lake("s3://backup", &environment, "feedback", "127.0.0.1:1", "time: data");

    run(&place, "aws s3 mb s3://feedback-lake\naws s3 mb s3://backup", &environment);
    let events = place.program.run(&["generate", "--events", "500", "--days", "3", "--seed", "8"]).unwrap().out;
    std::fs::write(place.path().join("events.jsonl"), events).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    run(&place, &commands, &environment);

    assert_eq!(copy.kpis(), place.kpis());
    copy.check_audit();
}

/// Processes of a terminal of their own, ended when dropped.
struct Session(Child);

impl Session {
    /// Whether there was any process to signal.
    fn signal(&self, name: &str) -> bool {
        let group = format!("-{}", self.0.id());
        Command::new("kill").args([&format!("-{name}"), "--", &group]).status().unwrap().success()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // They may have ended already.
        let _ = self.signal("KILL");
        let _ = self.0.wait();
    }
}

#[test]
fn make_kafka_runs_a_broker_until_it_is_ended() {
    let commands = block("make_kafka_runs_a_broker_until_it_is_ended");
    // Its controller takes the port after it.
    let pair = || [free_port(), free_port()].map(Result::unwrap);
    let port = std::iter::repeat_with(pair).find(|[port, after]| *after == port + 1).unwrap()[0];
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(folder.path().join("log.txt")).unwrap();
    // As in a terminal, where nothing has told that Ctrl-C is to be ignored.
    let mut shell = Command::new("setsid");
    shell
        .args(["env", "--default-signal=INT", "bash", "-euc", &commands])
        .current_dir(repository())
        .env("PORT", port.to_string());
    let mut session = Session(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());

    let place = Place::with("tried", &format!("127.0.0.1:{port}"), "");
    let log = || std::fs::read_to_string(folder.path().join("log.txt")).unwrap();
    wait_for("the broker is announced", LIMIT, || log().contains("until Ctrl-C").then_some(())).unwrap();
    let brokers = format!("127.0.0.1:{port}");
    let sent = ["generate", "--events", "100", "--brokers", &brokers, "--topic", "tried"];
    wait_for("the broker takes records", LIMIT, || (place.program.run(&sent).unwrap().code == 0).then_some(()))
        .unwrap();
    place.run_to_the_end();
    assert!(place.number("select count(*) from events") > Some(50), "{}", log());

    assert!(session.signal("INT"));
    wait_for("it ends by Ctrl-C", LIMIT, || session.0.try_wait().unwrap()).unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "the broker still listens: {}", log());
}
