//! Connections: too many of them, slow ones, those that come when there are no sockets left, and those that the
//! service's end finds open.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use satisflow_testkit::{Running, wait_for};
use serde_json::json;

use super::{EVERYWHERE, QUERY, SHOWN, curl, file, get, serve};
use crate::place::{LIMIT, Place, publishes, scrape, series_of, value_of};

const HERE: &str = "listen: '127.0.0.1:PORT'";

fn connect_to(port: u16) -> TcpStream {
    let socket = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

fn connect(place: &Place) -> TcpStream {
    connect_to(place.http)
}

/// What comes until the other side closes.
fn rest(mut socket: TcpStream) -> String {
    let mut read = Vec::new();
    match socket.read_to_end(&mut read) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn connections_are_limited_and_slow_ones_end() {
    let (place, _running) = serve(&format!("{HERE}, connections_max: 8, idle_timeout_secs: 5"));
    wait_for("HTTP answers", LIMIT, || scrape(place.http)).unwrap();
    let began = Instant::now();
    // Nothing, a part of a request, one that is answered and no more, and one that never ends its headers.
    let slow = ["", "GET / HT", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", "GET / HTTP/1.1\r\na: b\r\n"];
    let held = slow.map(|sent| {
        let mut socket = connect(&place);
        socket.write_all(sent.as_bytes()).unwrap();
        socket
    });
    let mut more = Vec::new();
    let refused = wait_for("one too many is told", LIMIT, || {
        more.push(connect(&place));
        let answer = curl(&place, "http://127.0.0.1:PORT/healthz", &[]);
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.unwrap().text.to_lowercase().contains("retry-after: 5"));
    let told = held.map(rest);
    assert!(began.elapsed() < Duration::from_secs(50), "they were ended by the limit of 5 s");
    assert!(told[2].starts_with("HTTP/1.1 200") && told[0].is_empty(), "{told:?}");
    drop(more);
    let after = wait_for("HTTP answers again", LIMIT, || scrape(place.http)).unwrap();
    let refused = series_of(&after, "satisflow_sql_connections_refused_total{listener=\"http\"}");
    assert!(refused.is_some_and(|refused| refused >= 1.0), "{refused:?}");
    ends_who_does_not_read(&place);
    waits_for_no_body(&place);
    takes_nothing_that_is_too_long(&place);
}

fn waits_for_no_body(place: &Place) {
    let mut asking = connect(place);
    asking.write_all(half_of_a_statement(place).0.as_bytes()).unwrap();
    let answer = rest(asking);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("within 30s"), "{answer}");
}

fn takes_nothing_that_is_too_long(place: &Place) {
    let (head, _) = half_of_a_statement(place);
    let (head, _) = head.split_once("content-length").unwrap();
    let long = [(format!("x: {}\r\n", "x".repeat(70 << 10)), "431"), (body_of(3 << 20), "413")];
    for (more, status) in long {
        let mut socket = connect(place);
        // The service may have said what it thinks of it before it is all there.
        let _: std::io::Result<()> = socket.write_all(format!("{head}{more}").as_bytes());
        let answer = rest(socket);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        assert!(status == "431" || answer.contains("too_long"), "{answer}");
    }
}

fn body_of(bytes: usize) -> String {
    format!("content-length: {bytes}\r\n\r\n{}", " ".repeat(bytes))
}

/// Waits until so many are open, the one that asks included.
fn wait_for_connections(place: &Place, open: u32) {
    let count = || value_of(&scrape(place.http)?, "satisflow_sql_connections");
    wait_for("connections", LIMIT, || (count() == Some(f64::from(open))).then_some(())).unwrap();
}

/// Who asks for more than the system holds, and reads nothing of it.
fn ends_who_does_not_read(place: &Place) {
    let mut socket = connect(place);
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let asked = "GET /page/text/en.js HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
    let mut sent = 0;
    // Its answers fill what lies in between, and then the service takes no more.
    while socket.write_all(asked.as_bytes()).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the service answers without being read");
    }
    wait_for_connections(place, 1);
}

#[test]
fn tls_that_never_comes_about_holds_up_nobody_and_ends() {
    let (place, _running) = serve(&format!("{EVERYWHERE}, connections_max: 8"));
    let began = Instant::now();
    // Nothing, what is no TLS, and the beginning of a handshake that says it has 256 bytes.
    let hanging = [&b""[..], b"GET /", b"\x16\x03\x01\x01\x00\x01"].map(|sent| {
        let mut socket = connect(&place);
        socket.write_all(sent).unwrap();
        socket
    });
    assert_eq!(get(&place, "/healthz", &[]).status, 200, "others are served meanwhile");
    for socket in hanging {
        rest(socket);
    }
    assert!(began.elapsed() < Duration::from_secs(50), "they were ended by the limit of 10 s");
    assert_eq!(get(&place, "/healthz", &[]).status, 200);
}

/// The most files that a process may have, and the number below which it can have two more.
fn files_of(running: &Running) -> (u64, u64) {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    let numbers: BTreeSet<u64> = folder.filter_map(|file| file.unwrap().file_name().to_str()?.parse().ok()).collect();
    let third = (0..).filter(|number| !numbers.contains(number)).nth(2);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    (most.unwrap().parse().unwrap(), third.unwrap())
}

fn allow_files(running: &Running, most: u64) {
    let arguments = [format!("--pid={}", running.id()), format!("--nofile={most}:")];
    let done = Command::new("prlimit").args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn without_sockets_to_be_had_clients_wait_and_are_served_in_the_end() {
    let (place, mut running) = serve(HERE);
    // Who builds the engine opens files.
    wait_for("it publishes", LIMIT, || scrape(place.http).filter(|text| publishes(text))).unwrap();
    let (most, few) = files_of(&running);
    allow_files(&running, few);
    let mut waiting = Vec::new();
    wait_for("there are no sockets left", LIMIT, || {
        waiting.push(connect(&place));
        running.log().contains("HTTP: a connection waits").then_some(())
    })
    .unwrap();
    // Each that is answered leaves its place to the next.
    for mut socket in waiting {
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let answer = rest(socket);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // Only now: a client that waits for a login would keep the place of one that is answered and goes. In between the
    // service gets at its lake: without files for half a minute it ends.
    allow_files(&running, most);
    wait_for("HTTP answers", LIMIT, || scrape(place.http)).unwrap();
    allow_files(&running, files_of(&running).1);
    let mut of_sql = Vec::new();
    wait_for("PostgreSQL has none, either", LIMIT, || {
        of_sql.push(connect_to(place.sql));
        running.log().contains("PostgreSQL: a connection waits").then_some(())
    })
    .unwrap();
    allow_files(&running, most);
    for mut socket in of_sql {
        // Whether it speaks TLS: one letter.
        socket.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        socket.read_exact(&mut [0]).unwrap();
    }
    assert!(scrape(place.http).is_some());
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
}

/// What a request over HTTP is as bytes, but for the end of its body.
fn half_of_a_statement(place: &Place) -> (String, String) {
    let body = json!({ "query": QUERY }).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /sql HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{first}",
        file(place, "token"),
        body.len()
    );
    (head, second.to_owned())
}

#[test]
fn the_end_of_the_service_answers_what_was_asked_and_waits_for_nothing_else() {
    let (place, mut running) = serve(HERE);
    wait_for("HTTP answers", LIMIT, || scrape(place.http)).unwrap();
    let (head, body) = half_of_a_statement(&place);
    let follow = "GET /api/changes HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answered = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // A statement that is half there, a page that follows changes, one that is answered and stays, and a mere line.
    let [mut asking, mut page, mut idle, silent] = [&*head, follow, answered, ""].map(|sent| {
        let mut socket = connect(&place);
        socket.write_all(sent.as_bytes()).unwrap();
        socket
    });
    for socket in [&mut page, &mut idle] {
        socket.read_exact(&mut [0; 12]).unwrap();
    }
    wait_for_connections(&place, 5);
    running.signal("TERM").unwrap();
    let is_over = || TcpStream::connect(("127.0.0.1", place.http)).is_err().then_some(());
    wait_for("nobody else gets in", LIMIT, is_over).unwrap();
    asking.write_all(body.as_bytes()).unwrap();
    let answer = rest(asking);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(SHOWN), "{answer}");
    for socket in [page, idle, silent] {
        rest(socket);
    }
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    assert!(!running.log().contains("open connections were dropped"), "{}", running.log());
}

/// One that never ends what it asks is not waited for longer than a few seconds.
#[test]
fn the_end_of_the_service_waits_for_no_half_request() {
    let (place, mut running) = serve(&format!("{HERE}, idle_timeout_secs: 3600"));
    wait_for("HTTP answers", LIMIT, || scrape(place.http)).unwrap();
    let (head, _) = half_of_a_statement(&place);
    let mut half = connect(&place);
    half.write_all(head.replace("content-type", "expect: 100-continue\r\ncontent-type").as_bytes()).unwrap();
    let mut told = [0; 12];
    half.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100", "its body is waited for");
    running.signal("TERM").unwrap();
    assert_eq!(running.wait(LIMIT).unwrap(), 0, "{}", running.log());
    assert!(running.log().contains("open connections were dropped"), "{}", running.log());
}
