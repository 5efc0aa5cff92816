//! Users, passwords and TLS, against real clients and those that mean harm.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use satisflow_testkit::{CERTIFICATE, KEY, Running, make_key, wait_for};

use crate::place::{LIMIT, Place, offline};

pub const PASSWORD: &str = "correct horse, battery: staple";
/// Leaves a reject, an event with text and one without.
const RECORDS: &str = concat!(
    r#"{"event_id":"a","kind":"feedback_text","event_time":"2026-01-01T00:00:00Z","text":"call me: 555-0100"}"#,
    "\n",
    r#"{"event_id":"b","kind":"rating","event_time":"2026-01-01T00:00:00Z","score":5,"scale":"1-5","phone":"555-0100"}"#,
    "\n",
    r#"{"event_id":"c","kind":"nothing known","text":"555-0100"}"#,
    "\n"
);

pub fn verifier(place: &Place) -> String {
    let mut command = Command::new(place.program.binary());
    let mut child = command.args(["user", "hash"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

/// A service with two users and TLS, on every address of the machine.
pub fn serve() -> (Place, Running) {
    let place = offline("time: data");
    make_key(place.path()).unwrap();
    std::fs::write(place.path().join("bob"), verifier(&place) + "\n").unwrap();
    let made = place.program.succeed(&["user", "token"]).unwrap();
    let (token, hash) = made.trim().split_once('\n').unwrap();
    std::fs::write(place.path().join("token"), token).unwrap();
    let users = format!(
        "users:\n  ann: {{ password: '{}', raw_data: true, tokens: ['{hash}'] }}\n  bob: {{ password: {{ file: bob }} }}\n\
         tls: {{ certificate: {CERTIFICATE}, key: {KEY} }}\nflight: {{ listen: '0.0.0.0:{}' }}\n",
        verifier(&place),
        place.flight
    );
    let path = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&path).unwrap() + &users;
    let limits = "idle_timeout_secs: 10, memory_bytes_max: 100000000";
    let here = format!("sql: {{ listen: '127.0.0.1:{}' }}", place.sql);
    let everywhere = format!("sql: {{ listen: '0.0.0.0:{}', {limits} }}", place.sql);
    std::fs::write(&path, text.replace(&here, &everywhere)).unwrap();
    std::fs::write(place.path().join("records.jsonl"), RECORDS).unwrap();
    place.program.succeed(&["replay", "records.jsonl"]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    wait_for("SQL answers", LIMIT, || ask(&place, "ann", PASSWORD, "127.0.0.1", "prefer", "select 1").ok()).unwrap();
    (place, running)
}

fn ask(place: &Place, user: &str, password: &str, host: &str, sslmode: &str, query: &str) -> Result<String, String> {
    let target = format!(
        "host={host} port={} dbname=satisflow user={user} sslmode={sslmode} sslrootcert={} connect_timeout=30",
        place.sql,
        place.path().join(CERTIFICATE).display()
    );
    let done = Command::new("psql")
        .env("PGPASSWORD", password)
        .args(["-w", "-v", "ON_ERROR_STOP=1", "-Atc", query, &target])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
}

fn check_alive(place: &Place) {
    assert_eq!(ask(place, "ann", PASSWORD, "127.0.0.1", "prefer", "select count(*) from events").unwrap(), "2");
}

#[test]
fn nobody_asks_without_a_password() {
    let (place, _running) = serve();
    refuses_wrong_passwords_and_unknown_users_alike(&place);
    speaks_tls_and_nothing_else_to_a_network(&place);
    shows_raw_data_to_whom_it_may_be_shown(&place);
    wants_the_password_over_http_too(&place);
    ends_connections_that_ask_nothing(&place);
    says_when_there_is_no_memory(&place);
    runs_nothing_before_the_login(&place);
    outlasts_passwords_in_bulk(&place);
}

fn refuses_wrong_passwords_and_unknown_users_alike(place: &Place) {
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("eve", PASSWORD), ("", PASSWORD), ("ANN", PASSWORD)] {
        let name = if user.is_empty() { "''" } else { user };
        let error = ask(place, name, password, "127.0.0.1", "disable", "select 1").unwrap_err();
        let told = ["password authentication failed", "no password supplied"].iter().any(|t| error.contains(t));
        assert!(told, "{user}: {error}");
    }
}

/// The address that this machine has in a network.
pub fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.99:9").unwrap();
    socket.local_addr().unwrap().ip()
}

fn speaks_tls_and_nothing_else_to_a_network(place: &Place) {
    let encrypted = ask(place, "ann", PASSWORD, "127.0.0.1", "verify-full", "\\conninfo").unwrap();
    assert!(encrypted.contains("TLSv1.3"), "{encrypted}");
    let own = own_address();
    assert!(!own.is_loopback(), "this machine has no address in a network");
    let own = own.to_string();
    assert_eq!(ask(place, "ann", PASSWORD, &own, "require", "select 1").unwrap(), "1");
    let error = ask(place, "ann", PASSWORD, &own, "disable", "select 1").unwrap_err();
    assert!(error.contains("reached with TLS only"), "{error}");
}

fn shows_raw_data_to_whom_it_may_be_shown(place: &Place) {
    let of = |user: &str, query: &str| ask(place, user, PASSWORD, "127.0.0.1", "disable", query).unwrap();
    let text = "select text from events where event_id = 'a'";
    let attributes = "select attributes from events where event_id = 'b'";
    let raw = "select count(raw), count(raw_bytes) from rejects";
    assert_eq!([of("ann", text), of("ann", raw)], ["call me: 555-0100", "1|1"]);
    assert!(of("ann", attributes).contains("555-0100"));
    assert_eq!([of("bob", text), of("bob", attributes), of("bob", raw)], ["", "", "0|1"]);
    assert_eq!(of("bob", "select count(*) from events_distinct where text is not null or attributes is not null"), "0");
    for view in ["events", "events_distinct", "event_answers", "rejects", "duplicates"] {
        let all = of("bob", &format!("select * from {view}"));
        assert!(!all.contains("555-0100"), "{view}: {all}");
    }
    assert_eq!(prepared(place), "None\n42P01");
}

/// The other protocol, and the names of what lies beneath.
fn prepared(place: &Place) -> String {
    let program = "
import sys, psycopg
with psycopg.connect(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='bob', password=sys.argv[2],
                     autocommit=True) as c:
    print(c.execute('select max(text) from events where kind <> %s', ('x',), prepare=True).fetchone()[0])
    try:
        c.execute('select text from records_internal where kind <> %s', ('x',), prepare=True)
    except psycopg.Error as error:
        print(error.sqlstate)
";
    place.psycopg(program, &[PASSWORD])
}

fn wants_the_password_over_http_too(place: &Place) {
    let url = format!("http://127.0.0.1:{}/sql", place.http);
    let send = |login: Option<(&str, &str)>, query: &str| {
        let request = reqwest::blocking::Client::new().post(&url).header("content-type", "application/sql");
        let request = match login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let answer = request.body(query.to_owned()).send().unwrap();
        let wanted = answer.headers().contains_key("www-authenticate");
        (answer.status().as_u16(), wanted, answer.text().unwrap())
    };
    let query = "select max(text) as t from events";
    assert_eq!(send(Some(("ann", PASSWORD)), query), (200, false, r#"[{"t":"call me: 555-0100"}]"#.to_owned()));
    assert_eq!(send(Some(("bob", PASSWORD)), query), (200, false, r#"[{"t":null}]"#.to_owned()));
    // Definitions and counts are open to this machine.
    for open in ["/metrics", "/api/catalog", "/api/pipeline", "/api/changes"] {
        let answer = reqwest::blocking::get(format!("http://127.0.0.1:{}{open}", place.http)).unwrap();
        assert_eq!(answer.status(), 200, "{open}");
    }
    for login in [None, Some(("ann", "wrong")), Some(("eve", PASSWORD))] {
        let (status, wanted, body) = send(login, query);
        assert!((status, wanted) == (401, true) && !body.contains("555-0100"), "{login:?}: {body}");
    }
}

#[test]
fn a_token_stands_for_its_user_over_http() {
    let (place, running) = serve();
    let token = std::fs::read_to_string(place.path().join("token")).unwrap();
    let send = |authorization: &str| {
        let request = reqwest::blocking::Client::new().post(format!("http://127.0.0.1:{}/sql", place.http));
        let request = request.header("content-type", "application/sql").header("authorization", authorization);
        let answer = request.body("select max(text) as t from events").send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    let shown = r#"[{"t":"call me: 555-0100"}]"#.to_owned();
    assert_eq!(send(&format!("Bearer {token}")), (200, shown.clone()));
    assert_eq!(send(&format!("bearer {token}")), (200, shown));
    let hash = std::fs::read_to_string(place.path().join("satisflow.yaml")).unwrap();
    let hash = hash.split("tokens: ['").nth(1).unwrap().split('\'').next().unwrap();
    for wrong in
        [format!("Bearer {token}x"), format!("Bearer {hash}"), format!("Bearer {PASSWORD}"), "Bearer ".to_owned()]
    {
        let (status, body) = send(&wrong);
        assert!(status == 401 && !body.contains("555-0100"), "{wrong}: {body}");
    }
    // What is open asks for nothing and tells nothing of persons.
    for open in ["metrics", "healthz", "openapi.json"] {
        let answer = reqwest::blocking::get(format!("http://127.0.0.1:{}/{open}", place.http)).unwrap();
        assert!(answer.status().is_success() && !answer.text().unwrap().contains("555-0100"), "{open}");
    }
    assert!(!running.log().contains(token.trim()) && !running.log().contains(hash));
}

fn ends_connections_that_ask_nothing(place: &Place) {
    let program = "
import select, sys, psycopg
where = dict(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='ann', password=sys.argv[2])
with psycopg.connect(**where, autocommit=True) as c:
    c.execute('set statement_timeout = 5000')
    try:
        many = 'generate_series(1, 1000000)'
        c.execute(f'select count(*) from {many} a(x), {many} b(x) where a.x + b.x < 0')
    except psycopg.Error as error:
        print(error.sqlstate)
    print(bool(select.select([c.fileno()], [], [], 30)[0]))
    try:
        c.execute('select 1')
        print('still there')
    except psycopg.OperationalError:
        print('ended')
";
    assert_eq!(place.psycopg(program, &[PASSWORD]), "57014\nTrue\nended");
}

fn says_when_there_is_no_memory(place: &Place) {
    let query = "select array_length(array_agg(x)) from generate_series(1, 20000000) t(x)";
    let error = ask(place, "ann", PASSWORD, "127.0.0.1", "disable", query).unwrap_err();
    assert!(error.contains("out of memory") && error.contains("sql.memory_bytes_max"), "{error}");
    // What can spill does: these rows are more than all memory.
    let sorted = "select max(n) from (select row_number() over (order by y) as n \
                  from (select x, -x as y from generate_series(1, 8000000) t(x)) s) r";
    let ask = |query: &str| ask(place, "ann", PASSWORD, "127.0.0.1", "disable", query).unwrap();
    assert_eq!(ask(sorted), "8000000");
    let analyzed = ask(&format!("explain analyze {sorted}"));
    let spills = analyzed.split("spill_count=").skip(1).any(|count| !count.starts_with("0,"));
    assert!(spills, "{analyzed}");
    check_alive(place);
}

fn message(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [kind, &length, body].concat()
}

/// What comes back for bytes that are sent at once.
fn answer(place: &Place, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", place.sql)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    // The server may hang up in the middle: then there is less to read.
    let (_, mut read) = (socket.write_all(bytes), Vec::new());
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        read.extend_from_slice(&buffer[..count]);
    }
    read
}

fn runs_nothing_before_the_login(place: &Place) {
    let startup = message(b"", b"\0\x03\0\0user\0ann\0database\0satisflow\0\0");
    let query = message(b"Q", b"select 'leak' || 'ed'\0");
    let prepare = [
        message(b"P", b"\0select 'leak' || 'ed'\0\0\0"),
        message(b"B", b"\0\0\0\0\0\0\0\0"),
        message(b"D", b"P\0"),
        message(b"E", b"\0\0\0\0\0"),
        message(b"S", b""),
    ]
    .concat();
    let sasl = |mechanism: &str, data: &str| {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        message(b"p", &[mechanism.as_bytes(), b"\0", &length, data.as_bytes()].concat())
    };
    let first = "n,,n=,r=abcdefgh";
    let (scram, last) = (sasl("SCRAM-SHA-256", first), message(b"p", b"c=biws,r=abcdefgh,p=AAAA"));
    let plus = sasl("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=x");
    let before: [&[&[u8]]; 9] = [
        &[],
        &[&startup],
        &[&startup, &startup],
        &[&startup, &scram],
        &[&startup, &scram, &last],
        &[&startup, &scram, &scram, &last],
        &[&startup, &last],
        &[&startup, &plus],
        &[&startup, &message(b"p", b"correct horse, battery: staple\0")],
    ];
    for (index, sent) in before.iter().enumerate() {
        for ask in [&query, &prepare] {
            let got = answer(place, &[sent.concat(), ask.clone(), ask.clone()].concat());
            let text = String::from_utf8_lossy(&got);
            assert!(!text.contains("leaked"), "{index}: {text}");
        }
    }
    check_alive(place);
}

fn outlasts_passwords_in_bulk(place: &Place) {
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..40)
            .map(|guess| {
                scope.spawn(move || ask(place, "ann", &format!("guess {guess}"), "127.0.0.1", "prefer", "select 1"))
            })
            .collect();
        guesses.into_iter().for_each(|guess| assert!(guess.join().unwrap().is_err()));
    });
    check_alive(place);
}
