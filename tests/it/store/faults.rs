//! Every fault of every request that a commit is made of, and a store that is away.

use std::time::Duration;

use satisflow_testkit::{Admin, Fault, Minio, Proxy, Running, Writer, wait_for};

use super::{lake_settings, place_at, shared};
use crate::place::{LIMIT, Place, brokers};
use crate::trouble::{events, kafka_settings, resident_bytes};

/// A request of a commit: its method and a part of its path.
const OPERATIONS: [(&str, &str); 6] = [
    ("PUT", "/records/outcome"),
    ("PUT", "/records/_delta_log/"),
    ("PUT", "/kpis/part"),
    ("PUT", "/kpis/_delta_log/"),
    ("GET", "list-type=2"),
    ("GET", "/_delta_log/"),
];
/// Longer than the client waits: what was given up is carried out all the same.
const FAULTS: [Fault; 5] =
    [Fault::Throttle, Fault::Drop, Fault::LoseReply, Fault::Misreport, Fault::Delay(Duration::from_millis(1500))];

/// Carried out when the log has long been looked at for it: nothing but another attempt helps.
const MUCH_LATER: Fault = Fault::Delay(Duration::from_secs(5));

fn stop(mut running: Running) {
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

#[test]
fn every_fault_of_every_request_of_a_commit_loses_and_doubles_nothing() {
    let own = shared("").0;
    let proxy = Proxy::start(own.clone()).unwrap();
    let mut place = place_at("s3-faults", Some(&proxy.address()), "time: data");
    lake_settings(&place, "request_timeout_ms: 1000, retry_timeout_ms: 20000");
    let mut generating = place.generate("s3-faults", 1_000_000, &["--seed", "23", "--rate", "60"]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    wait_for("the first rows", LIMIT, || place.number("select count(*) from kpis").filter(|n| *n > 0)).unwrap();
    let inject = |method, path, fault, times| {
        let before = proxy.hits();
        proxy.inject(method, path, fault, times);
        let hit = || (proxy.faults_left() == 0).then_some(());
        wait_for(&format!("{fault:?} of {method} {path}"), LIMIT, hit)
            .unwrap_or_else(|error| panic!("{error}\n{}", running.log()));
        assert_eq!(proxy.hits() - before, times);
    };
    for (method, path) in OPERATIONS {
        FAULTS.into_iter().for_each(|fault| inject(method, path, fault, 2));
    }
    for log in ["/records/_delta_log/", "/kpis/_delta_log/"] {
        inject("PUT", log, MUCH_LATER, 1);
    }
    eprintln!("{} requests, {} faults", proxy.requests(), proxy.hits());
    generating.signal("TERM").unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    stop(running);
    // What was written is read without the proxy.
    place.program = place.program.clone().with_environment(&Minio::environment(&own));
    place.check_at_the_end();
}

/// 60 MB are waiting in Kafka, and at most 2 MB of them are taken in while the
/// store refuses every write.
#[test]
fn a_store_that_refuses_writes_presses_back_to_kafka_and_memory_stays_bounded() {
    const TOPIC: &str = "s3-pressure";
    const RECORDS: usize = 60_000;
    let proxy = Proxy::start(shared("").0).unwrap();
    let place = place_at(TOPIC, Some(&proxy.address()), "time: data");
    kafka_settings(&place, "buffer_bytes_max: 2000000, properties: { queued.max.messages.kbytes: 4096 }");
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 2, &[]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    writer.write(0, &events("first", 100)).unwrap();
    place.wait_for_rows(100);
    let before = resident_bytes(running.id());
    proxy.inject("PUT", "/records/", Fault::Throttle, usize::MAX);
    let filled = |event: String| event.replacen('{', &format!("{{{}", " ".repeat(800)), 1);
    let records: Vec<String> = events("more", RECORDS).into_iter().map(filled).collect();
    records.chunks(5000).for_each(|some| writer.write(1, some).unwrap());
    let paused = || place.metric("satisflow_kafka_paused").filter(|paused| *paused > 0.0);
    wait_for("partitions are paused", LIMIT, paused).unwrap_or_else(|error| panic!("{error}\n{}", running.log()));
    // Refusals go on, and nothing more is taken.
    let hits = proxy.hits();
    wait_for("more refusals", LIMIT, || (proxy.hits() >= hits + 3).then_some(())).unwrap();
    let held = place.metric("satisflow_kafka_held_bytes").unwrap();
    let grown = resident_bytes(running.id()).saturating_sub(before);
    eprintln!("{held} bytes held, {grown} bytes more in memory, {hits} refusals");
    assert!(held < 8e6, "{held} bytes are held");
    assert!(grown < 150 << 20, "{grown} bytes more");
    assert!(place.metric("satisflow_polled_records_total").unwrap() < 40_000.0, "nothing was held back");
    proxy.clear();
    let all = i64::try_from(RECORDS + 100).unwrap();
    wait_for("all rows", LIMIT, || place.number("select count(*) from events").filter(|n| *n == all))
        .unwrap_or_else(|error| panic!("{error}\n{}", running.log()));
    stop(running);
    place.run_to_the_end();
    place.check_audit();
}

#[test]
fn a_store_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    let mut minio = Minio::start().unwrap();
    let environment = Minio::environment(&minio.address());
    let place = Place::with_lake(&minio.lake("s3-killed"), &environment, "s3-killed", &brokers(), "time: data");
    let mut generating = place.generate("s3-killed", 3000, &["--seed", "24", "--rate", "50"]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    place.wait_for_rows(200);
    minio.kill().unwrap();
    let lag = || place.metric("satisflow_pending_rows").filter(|rows| *rows > 0.0);
    wait_for("rows wait for the store", LIMIT, lag).unwrap_or_else(|error| panic!("{error}\n{}", running.log()));
    minio.launch().unwrap();
    assert_eq!(generating.wait(LIMIT).unwrap(), 0, "{}", generating.log());
    place.wait_for_rows(3000);
    stop(running);
    place.check_at_the_end();
}
