//! Statements and bytes of those that mean harm: none succeeds, and the service answers on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use satisflow_testkit::{repository, wait_for};

use crate::place::{LIMIT, Place};
use crate::sql::{psql_at, serve};

/// Kinds of attacks, a row of docs/security.md each.
pub const STATEMENTS: &[(&str, &[&str])] = &[
    (
        "INSERT, UPDATE, DELETE, MERGE, TRUNCATE",
        &[
            "insert into kpis select * from kpis",
            "insert into public.kpis default values",
            "update kpis set n = 1",
            "delete from kpis",
            "delete from events where true returning *",
            "truncate kpis",
            "merge into kpis using kpis as k on true when matched then delete",
            "with x as (delete from kpis returning 1) select * from x",
            "with x as (insert into kpis select * from kpis returning 1) select * from x",
            "with recursive x as (update kpis set n = 1 returning 1) select * from x",
        ],
    ),
    (
        "CREATE, DROP, ALTER, SELECT INTO, GRANT",
        &[
            "create table x as select 1",
            "create temporary table x (a int)",
            "create view x as select 1",
            "create materialized view x as select 1",
            "create schema x",
            "create database x",
            "create role x superuser",
            "create function x() returns int language sql as 'select 1'",
            "create external table x stored as csv location '/etc/passwd'",
            "create external table x stored as parquet location 'http://127.0.0.1/x'",
            "create index x on kpis (kpi)",
            "drop table kpis",
            "drop view events",
            "drop schema public cascade",
            "alter table kpis add column x int",
            "alter role u superuser",
            "select * into x from kpis",
            "select * from (select 1 as a into x) as y",
            "grant all on kpis to u",
            "comment on table kpis is 'x'",
        ],
    ),
    (
        "COPY to and from files and programs",
        &[
            "copy kpis to '/tmp/satisflow-attack'",
            "copy (select 1) to '/tmp/satisflow-attack'",
            "copy (select 1) to '/tmp/satisflow-attack' stored as csv",
            "copy kpis from '/etc/passwd'",
            "copy kpis from stdin",
            "copy (select 1) to program 'touch /tmp/satisflow-attack'",
            "copy kpis from program 'touch /tmp/satisflow-attack'",
            "copy (delete from kpis returning 1) to stdout",
            "copy (with x as (delete from kpis returning 1) select * from x) to stdout",
            "unload ('select 1') to '/tmp/satisflow-attack'",
        ],
    ),
    (
        "EXPLAIN ANALYZE of what writes",
        &[
            "explain analyze insert into kpis select * from kpis",
            "explain analyze delete from kpis",
            "explain analyze copy (select 1) to '/tmp/satisflow-attack'",
            "explain (analyze) create table x as select 1",
            "explain analyze with x as (delete from kpis returning 1) select * from x",
            "explain insert into kpis select * from kpis",
        ],
    ),
    (
        "DECLARE CURSOR, PREPARE, EXECUTE, DO, CALL, LISTEN",
        &[
            "declare c cursor for select 1",
            "declare c cursor for delete from kpis",
            "declare c cursor with hold for insert into kpis select * from kpis returning 1",
            "prepare p as delete from kpis",
            "prepare p as select 1",
            "execute p",
            "do $$ begin perform 1; end $$",
            "call x()",
            "listen x",
            "notify x",
            "load 'x'",
            "vacuum kpis",
            "analyze kpis",
            "checkpoint",
            "lock table kpis",
            "select * from kpis for update",
            "select * from kpis for share",
        ],
    ),
    (
        "Functions and names that read files",
        &[
            "select * from read_parquet('/etc/passwd')",
            "select * from read_csv('/etc/passwd')",
            "select * from parquet_metadata('/etc/passwd')",
            "select * from '/etc/passwd'",
            "select * from \"/etc/passwd\"",
            "select * from \"/etc/passwd.csv\"",
            "select * from \"file:///etc/passwd\"",
            "select * from \"s3://bucket/x.parquet\"",
            "select * from \"../lake/records\"",
            "select pg_read_file('/etc/passwd')",
            "select pg_ls_dir('/')",
            "select lo_import('/etc/passwd')",
            "select * from glob('/*')",
            "select * from dblink('host=127.0.0.1', 'select 1') as t(a int)",
        ],
    ),
    (
        "What is not published",
        &[
            "select * from records",
            "select * from records_internal",
            "select * from kpis_internal",
            "select * from kpi_live_internal",
            "select * from information_schema.df_settings",
            "select * from datafusion.public.records",
            "table records_internal",
        ],
    ),
    (
        "SET of the engine's options",
        &[
            "set datafusion.execution.target_partitions = 1",
            "set datafusion.catalog.location = '/etc'",
            "set datafusion.runtime.memory_limit = '100G'",
            "set datafusion.sql_parser.dialect = 'generic'",
            "set local datafusion.execution.batch_size = 1",
            "set session datafusion.execution.time_zone = 'UTC'",
            "reset datafusion.execution.batch_size",
            "select set_config('datafusion.execution.batch_size', '1', false)",
            "set default_transaction_read_only = off",
            "set role postgres",
            "set session authorization postgres",
            "set work_mem = '100GB'",
            "set a = 1, b = 2",
        ],
    ),
    (
        "Several statements in one",
        &[
            "select 1; drop table kpis",
            "begin; delete from kpis; commit",
            "; ; drop table kpis",
            "select 1;delete from kpis;select 2",
            "commit; drop table kpis",
        ],
    ),
    (
        "Comments, quotes and Unicode",
        &[
            "/* select */ drop table kpis",
            "-- select\ndrop table kpis",
            "/* /* nested */ */ delete from kpis",
            "select 1 /* ; */ ; /* */ drop table kpis",
            "DrOp TaBlE kpis",
            "dr\u{200b}op table kpis",
            "\u{feff}drop table kpis",
            "drop\u{a0}table kpis",
            "drop\u{2003}table\u{2003}kpis",
            "\u{ff44}\u{ff52}\u{ff4f}\u{ff50} table kpis",
            "drop table \u{43a}pis",
            "select 'a\\'; drop table kpis; --'",
            "select $$a$$; drop table kpis",
            "select e'\\''; drop table kpis; --'",
        ],
    ),
];

/// Tries each in both protocols; a query over what is not there may not answer either.
const TRIES: &str = "
import json, sys, psycopg
where = dict(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='u', autocommit=True)
for statement in json.load(open(sys.argv[2])):
    for cursor in [psycopg.ClientCursor, psycopg.Cursor]:
        with psycopg.connect(**where) as connection:
            for prepare in [False, True] if cursor is psycopg.Cursor else [None]:
                try:
                    cursor(connection).execute(statement, prepare=prepare)
                    print('worked:', statement)
                except psycopg.Error:
                    pass
";

#[test]
fn no_attack_succeeds_and_the_service_answers_on() {
    let (place, _running) = serve();
    let before = psql_at(place.sql, "select count(*), sum(n) from kpis");
    for (kind, attacks) in STATEMENTS {
        let file = place.path().join("attacks.json");
        std::fs::write(&file, serde_json::to_string(attacks).unwrap()).unwrap();
        assert_eq!(place.psycopg(TRIES, &[file.to_str().unwrap()]), "", "{kind}");
        attacks.iter().for_each(|attack| check_http(&place, attack));
        check_alive(&place);
    }
    what_is_too_much(&place);
    bytes_of_no_protocol(&place);
    assert!(!std::path::Path::new("/tmp/satisflow-attack").exists());
    assert_eq!(psql_at(place.sql, "select count(*), sum(n) from kpis"), before);
}

fn check_alive(place: &Place) {
    assert_eq!(psql_at(place.sql, "select count(*) from events"), (true, "400".to_owned()));
}

fn check_http(place: &Place, statement: &str) {
    let request = reqwest::blocking::Client::new().post(format!("http://127.0.0.1:{}/sql", place.http));
    let answer = request.header("content-type", "application/sql").body(statement.to_owned()).send().unwrap();
    assert!((400..500).contains(&answer.status().as_u16()), "{statement}: {answer:?}");
}

pub fn too_much() -> [String; 8] {
    let deep = |open: &str, close: &str| format!("select {}1{}", open.repeat(1000), close.repeat(1000));
    let nested = format!("{}select 1{}", "select * from (".repeat(1000), ") as x".repeat(1000));
    let long = format!("select '{}'", "x".repeat(10 << 20));
    let wide = format!("select {}", vec!["1"; 20_000].join(","));
    let union = vec!["select 1"; 3000].join(" union all ");
    [long, deep("(", ")"), deep("-", ""), deep("not ", ""), deep("abs(", ")"), nested, wide, union]
}

/// Long, deep, and without end.
fn what_is_too_much(place: &Place) {
    let file = place.path().join("attacks.json");
    for statement in too_much() {
        // Answered or refused: what counts is that the service lives.
        std::fs::write(&file, serde_json::to_string(&[&statement]).unwrap()).unwrap();
        let text = place.psycopg(TRIES, &[file.to_str().unwrap()]);
        assert!(!text.contains("Traceback"), "{}", &text[..text.len().min(2000)]);
        check_alive(place);
    }
}

fn bytes_of_no_protocol(place: &Place) {
    let message = |kind: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind, &length, body].concat()
    };
    let startup = message(b"", b"\0\x03\0\0user\0u\0database\0satisflow\0\0");
    let after = |bytes: &[u8]| [startup.clone(), bytes.to_vec()].concat();
    let all = [
        vec![0; 64],
        vec![0xff; 4096],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        u32::MAX.to_be_bytes().to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        message(b"", b"\0\x02\0\0user\0u\0\0"),
        message(b"", b"\0\x03\0\0user"),
        message(b"", b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01"),
        after(&[b'Q', 0xff, 0xff, 0xff, 0xff]),
        after(&[b'Q', 0, 0, 0, 0]),
        after(&message(b"Q", b"select 1")),
        after(&message(b"Q", b"select '\xff\xfe'\0")),
        after(&message(b"P", b"\0select $1\0\xff\xff")),
        after(&message(b"B", b"\0nothing\0\0\0\0\0\0\0")),
        after(&message(b"B", b"\0\0\xff\xff\xff\xff")),
        after(&message(b"E", b"nothing\0\0\0\0\0")),
        after(&message(b"D", b"X")),
        after(&message(b"d", b"copy data of no copy")),
        after(&message(b"F", b"function call")),
        after(&message(b"p", b"a password that nobody asked for\0")),
        after(&[0; 1024]),
    ];
    for bytes in all {
        let mut socket = TcpStream::connect(("127.0.0.1", place.sql)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // The server may hang up in the middle.
        let _ = socket.write_all(&bytes);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    wait_for("the service answers on", LIMIT, || psql_at(place.sql, "select 1").0.then_some(())).unwrap();
    check_alive(place);
}

#[test]
fn the_table_of_attacks_says_what_is_tried() {
    let document = std::fs::read_to_string(repository().join("docs/security.md")).unwrap();
    for (kind, attacks) in STATEMENTS {
        let row = format!("| {kind} | {} | 0 |", attacks.len());
        assert!(document.lines().any(|line| line == row), "docs/security.md lacks the row\n{row}");
    }
}
