//! Records that need care: of transactions, and too large ones.

use satisflow_testkit::{Admin, Writer};

use super::events;
use crate::place::{Place, brokers};

#[test]
fn only_records_of_committed_transactions_count() {
    const TOPIC: &str = "transactions";
    let place = Place::new(TOPIC);
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 2, &[]).unwrap();
    let write_all = |writer: &Writer, prefix: &str, count| {
        (0..2).for_each(|partition| writer.write(partition, &events(&format!("{prefix}-{partition}"), count)).unwrap());
    };
    write_all(&Writer::new(&brokers(), TOPIC).unwrap(), "plain", 10);
    let writer = Writer::transactional(&brokers(), TOPIC, "first").unwrap();
    writer.begin().unwrap();
    write_all(&writer, "aborted", 7);
    write_all(&writer, "again", 5);
    writer.abort().unwrap();
    // What was taken back may come again: the aborted copy is no first sight of it.
    writer.begin().unwrap();
    write_all(&writer, "again", 5);
    writer.commit().unwrap();
    let open = Writer::transactional(&brokers(), TOPIC, "second").unwrap();
    open.begin().unwrap();
    write_all(&open, "open", 3);
    let check = |accepted, from_open| {
        place.run_to_the_end();
        assert_eq!(place.number("select count(*) from events"), Some(accepted));
        assert_eq!(place.number("select count(*) from events where event_id like 'aborted-%'"), Some(0));
        assert_eq!(place.number("select count(*) from events where event_id like 'again-%'"), Some(10));
        assert_eq!(place.number("select count(*) from events where event_id like 'open-%'"), Some(from_open));
        assert_eq!(place.number("select count(*) from rejects"), Some(0));
        assert_eq!(place.number("select count(*) from duplicates"), Some(0));
    };
    check(30, 0);
    open.commit().unwrap();
    check(36, 6);
    place.check_audit();
}

#[test]
fn an_oversized_record_is_a_reject_and_the_rest_goes_on() {
    const TOPIC: &str = "oversized";
    const LIMIT_BYTES: usize = 4096;
    // Far beyond one fetch of the client, which is a megabyte.
    const HUGE_BYTES: usize = 3 << 20;
    let limits = format!("time: data\nlimits: {{ record_bytes_max: {LIMIT_BYTES}, raw_bytes_max: 100 }}");
    let place = Place::with(TOPIC, &brokers(), &limits);
    Admin::new(&brokers()).unwrap().create_topic(TOPIC, 1, &[("max.message.bytes", "4194304")]).unwrap();
    let writer = Writer::new(&brokers(), TOPIC).unwrap();
    let sized = |id: &str, bytes: usize| {
        let event = events(id, 1).remove(0);
        // Spaces between members are part of the payload.
        event.replacen('{', &format!("{{{}", " ".repeat(bytes - event.len())), 1)
    };
    let records = [
        sized("fits", LIMIT_BYTES),
        sized("over", LIMIT_BYTES + 1),
        sized("small", 500),
        sized("huge", HUGE_BYTES),
        sized("last", 500),
    ];
    writer.write(0, &records).unwrap();
    place.run_to_the_end();
    let query = "select event_id from events order by \"offset\"";
    let accepted =
        place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
    assert_eq!(accepted.lines().skip(1).collect::<Vec<_>>(), ["fits-0", "small-0", "last-0"]);
    let query =
        "select reason, \"offset\", raw_bytes, octet_length(cast(raw as varchar)), message from rejects order by 2";
    let rejected =
        place.program.succeed(&["--log", "error", "sql", "--lake", "lake", "--format", "csv", query]).unwrap();
    let row =
        |offset, bytes| format!("record_too_large,{offset},{bytes},100,{bytes} bytes; the limit is {LIMIT_BYTES}");
    assert_eq!(rejected.lines().skip(1).collect::<Vec<_>>(), [row(1, LIMIT_BYTES + 1), row(3, HUGE_BYTES)]);
    place.check_audit();
}
