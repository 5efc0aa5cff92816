//! HTTP as a network reaches it: TLS, logins, names, limits, against curl, Chromium, and those that mean harm.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use satisflow_testkit::{Running, wait_for};
use serde_json::{Value, json};

use crate::access::{PASSWORD, own_address, verifier};
use crate::place::{LIMIT, Place, offline};

mod limits;
mod login;

/// What people call the service.
const NAME: &str = "satisflow.example";
const RECORDS: &str = concat!(
    r#"{"event_id":"a","kind":"feedback_text","event_time":"2026-01-01T00:00:00Z","text":"call me: 555-0100"}"#,
    "\n",
    r#"{"kind":"rating","phone":"555-0100"}"#,
    "\n"
);
const QUERY: &str = "select max(text) as t from events";
const SHOWN: &str = r#"[{"t":"call me: 555-0100"}]"#;

fn openssl(folder: &Path, arguments: &str) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// An authority, and the certificate that it has given to the service.
fn make_certificate(folder: &Path) {
    std::fs::write(folder.join("names"), format!("subjectAltName=DNS:{NAME},IP:127.0.0.1\n")).unwrap();
    for made in [
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt",
        "req -newkey rsa:2048 -nodes -subj /CN=satisflow -keyout tls.key -out tls.csr",
        "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out tls.crt",
    ] {
        openssl(folder, made);
    }
}

/// What `satisflow user token` prints.
fn token(place: &Place) -> (String, String) {
    let made = place.program.succeed(&["user", "token"]).unwrap();
    let (token, hash) = made.trim().split_once('\n').unwrap();
    (token.to_owned(), hash.to_owned())
}

/// A service with users, whose HTTP is as given.
fn serve(http: &str) -> (Place, Running) {
    let place = offline("time: data");
    make_certificate(place.path());
    std::fs::write(place.path().join("records.jsonl"), RECORDS).unwrap();
    let ((of_ann, ann), (of_metrics, metrics)) = (token(&place), token(&place));
    std::fs::write(place.path().join("token"), of_ann).unwrap();
    std::fs::write(place.path().join("metrics"), of_metrics).unwrap();
    let path = place.path().join("satisflow.yaml");
    let users = format!(
        "users:\n  ann: {{ password: '{hash}', raw_data: true, tokens: ['{ann}'] }}\n  bob: {{ password: '{hash}' }}\n",
        hash = verifier(&place)
    );
    let text = std::fs::read_to_string(&path).unwrap() + &users;
    let here = format!("http: {{ listen: '127.0.0.1:{}' }}", place.http);
    assert!(text.contains(&here), "{text}");
    let http = http.replace("PORT", &place.http.to_string()).replace("METRICS", &metrics);
    std::fs::write(&path, text.replace(&here, &format!("http: {{ {http} }}"))).unwrap();
    place.program.succeed(&["replay", "records.jsonl"]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    let is_served = || TcpStream::connect(("127.0.0.1", place.http)).ok();
    wait_for("HTTP listens", LIMIT, is_served).unwrap_or_else(|error| panic!("{error}: {}", running.log()));
    (place, running)
}

const EVERYWHERE: &str = "listen: '0.0.0.0:PORT', tls: { certificate: tls.crt, key: tls.key }, \
                          hosts: [Satisflow.example], metrics_tokens: ['METRICS']";

/// What curl says: the status, 0 when there is none; the head and the body, or why not.
struct Answer {
    status: u16,
    text: String,
}

fn curl(place: &Place, url: &str, arguments: &[&str]) -> Answer {
    let (folder, port) = (place.path().display(), place.http);
    let done = Command::new("curl")
        .args(["-sSi", "--max-time", "60", "--resolve", &format!("{NAME}:{port}:127.0.0.1")])
        .args(["--cacert", &format!("{folder}/ca.crt")])
        .args(arguments)
        .arg(url.replace("PORT", &port.to_string()))
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Answer { status: status.filter(|_| done.status.success()).unwrap_or(0), text }
}

/// Asks for a path by the name that people use.
fn get(place: &Place, path: &str, headers: &[&str]) -> Answer {
    let arguments: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
    curl(place, &format!("https://{NAME}:PORT{path}"), &arguments)
}

fn sql(place: &Place, headers: &[&str]) -> Answer {
    let mut arguments = vec!["-H", "content-type: application/sql", "-d", QUERY];
    arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
    curl(place, &format!("https://{NAME}:PORT/sql"), &arguments)
}

fn log_in(place: &Place, user: &str, password: &str) -> Answer {
    let body = json!({"user": user, "password": password}).to_string();
    let arguments = ["-H", "content-type: application/json", "-d", &body];
    curl(place, &format!("https://{NAME}:PORT/api/session"), &arguments)
}

/// The header that a browser sends after a login.
fn cookie(answer: &Answer) -> String {
    let set = answer.text.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_default();
    format!("cookie: {}", set.split(';').next().unwrap())
}

fn file(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path().join(name)).unwrap()
}

#[test]
fn a_network_reaches_http_by_tls_by_its_names_and_with_a_login() {
    let (place, running) = serve(EVERYWHERE);
    speaks_tls_of_today_and_nothing_else(&place);
    answers_to_its_names_and_to_its_own_page(&place);
    shows_nothing_to_whom_it_does_not_know(&place);
    shows_metrics_to_their_token(&place);
    gives_a_session_that_is_the_pages_alone(&place);
    outlasts_guesses_in_bulk(&place);
    let log = running.log();
    assert!(log.contains("a login with a wrong password or an unknown name was refused"), "{log}");
    for secret in [PASSWORD, file(&place, "token").trim(), file(&place, "metrics").trim(), "guess 7", "555-0100"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

fn speaks_tls_of_today_and_nothing_else(place: &Place) {
    for version in ["1.2", "1.3"] {
        let least = format!("--tlsv{version}");
        let arguments = [&*least, "--tls-max", version];
        assert_eq!(curl(place, &format!("https://{NAME}:PORT/healthz"), &arguments).status, 200, "{version}");
    }
    // A client that would take less is told that the server does not; nothing but the version is in its way.
    let up_to = |version| {
        let old = ["--ciphers", "DEFAULT@SECLEVEL=0", "--tlsv1.0", "--tls-max", version];
        curl(place, &format!("https://{NAME}:PORT/healthz"), &old)
    };
    let old = up_to("1.1");
    assert!(old.status == 0 && old.text.contains("alert"), "{}", old.text);
    assert_eq!(up_to("1.2").status, 200);
    let plain = curl(place, &format!("http://{NAME}:PORT/healthz"), &[]);
    assert!(plain.status == 0 && !plain.text.contains("HTTP/1.1"), "{}", plain.text);
    let unknown = curl(place, "https://127.0.0.1:PORT/healthz", &["--cacert", "/etc/ssl/certs/ca-certificates.crt"]);
    assert!(unknown.status == 0 && unknown.text.contains("certificate"), "{}", unknown.text);
    let own = own_address();
    assert!(!own.is_loopback(), "this machine has no address in a network");
    assert_eq!(curl(place, &format!("https://{own}:PORT/healthz"), &["--insecure"]).status, 200);
}

fn answers_to_its_names_and_to_its_own_page(place: &Place) {
    let bearer = format!("authorization: Bearer {}", file(place, "token"));
    let own = format!("origin: https://{NAME}:{}", place.http);
    for good in ["host: SATISFLOW.example", "host: localhost:1", "host: 10.0.0.1:8443", &own] {
        let answer = sql(place, &[&bearer, good]);
        assert!(answer.status == 200 && answer.text.ends_with(SHOWN), "{good}: {}", answer.text);
    }
    for bad in ["host: evil.example", "origin: https://evil.example", "origin: null", "origin: https://6.6.6.6"] {
        let answer = sql(place, &[&bearer, bad]);
        assert!(answer.status == 403 && answer.text.contains("http.hosts"), "{bad}: {}", answer.text);
    }
}

const GUARDED: [&str; 5] = ["/api/catalog", "/api/pipeline", "/api/changes", "/api/session", "/metrics"];

const UNKNOWN: [&[&str]; 3] = [&[], &["cookie: __Host-satisflow=x.y"], &["authorization: Bearer x"]];

fn shows_nothing_to_whom_it_does_not_know(place: &Place) {
    for open in ["/", "/page/main.js", "/healthz", "/openapi.json"] {
        assert_eq!(get(place, open, &[]).status, 200, "{open}");
    }
    assert!([200, 503].contains(&get(place, "/readyz", &[]).status));
    for guarded in GUARDED {
        for headers in UNKNOWN {
            let answer = get(place, guarded, headers);
            assert!(answer.status == 401 && !answer.text.contains("satisflow_"), "{guarded}: {}", answer.text);
        }
    }
    for headers in UNKNOWN {
        assert_eq!(sql(place, headers).status, 401, "{headers:?}");
    }
    let unknown = sql(place, &[]);
    assert!(unknown.status == 401 && unknown.text.contains("www-authenticate: Basic"), "{}", unknown.text);
    let by_page = sql(place, &["sec-fetch-mode: cors", "sec-fetch-site: same-origin"]);
    assert!(by_page.status == 401 && !by_page.text.contains("Basic"), "{}", by_page.text);
    // Known by a header alone, and before any body: this one never comes.
    let headers = ["-H", "content-type: application/sql", "-H", "content-length: 2000000", "-X", "POST"];
    assert_eq!(curl(place, &format!("https://{NAME}:PORT/sql"), &headers).status, 401);
}

fn shows_metrics_to_their_token(place: &Place) {
    let [user, metrics] = ["token", "metrics"].map(|name| format!("authorization: Bearer {}", file(place, name)));
    for token in [&user, &metrics] {
        let answer = get(place, "/metrics", &[token]);
        assert!(answer.status == 200 && answer.text.contains("satisflow_sql_connections"), "{}", answer.text);
    }
    assert_eq!((sql(place, &[&user]).status, sql(place, &[&metrics]).status), (200, 401));
    assert_eq!(get(place, "/api/catalog", &[&metrics]).status, 401);
}

fn gives_a_session_that_is_the_pages_alone(place: &Place) {
    let (ann, bob) = (log_in(place, "ann", PASSWORD), log_in(place, "bob", PASSWORD));
    for (answer, user, raw_data) in [(&ann, "ann", true), (&bob, "bob", false)] {
        let told = json!({"user": user, "raw_data": raw_data});
        assert!(answer.status == 200 && answer.text.contains("cache-control: no-store"), "{}", answer.text);
        let set = answer.text.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
        assert!(set.starts_with("set-cookie: __Host-satisflow="), "{set}");
        assert!(set.trim().ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{set}");
        assert_eq!(body(answer), told);
        assert_eq!(body(&get(place, "/api/session", &[&cookie(answer)])), told);
    }
    assert!(sql(place, &[&cookie(&ann)]).text.ends_with(SHOWN));
    assert!(sql(place, &[&cookie(&bob)]).text.ends_with(r#"[{"t":null}]"#));
    for path in ["/api/catalog", "/api/pipeline", "/metrics"] {
        assert_eq!(get(place, path, &[&cookie(&bob)]).status, 200, "{path}");
    }
    for answer in [get(place, "/api/catalog", &[&cookie(&bob)]), sql(place, &[&cookie(&bob)])] {
        assert!(answer.text.contains("cache-control: no-store"), "{}", answer.text);
    }
    for (page, status) in [("same-origin", 200), ("cross-site", 401), ("same-site", 401)] {
        let site = format!("sec-fetch-site: {page}");
        assert_eq!(sql(place, &[&cookie(&ann), &site]).status, status, "{page}");
    }
    // A form of a foreign page can send no JSON.
    let form = ["-d", "user=ann&password=x"];
    assert_eq!(curl(place, &format!("https://{NAME}:PORT/api/session"), &form).status, 415);
    let long = "x".repeat(5000);
    assert_eq!(log_in(place, "ann", &long).status, 413);
    let out = curl(place, &format!("https://{NAME}:PORT/api/session"), &["-X", "DELETE"]);
    assert!(out.status == 204 && out.text.contains("__Host-satisflow=; Path=/; Max-Age=0;"), "{}", out.text);
}

fn body(answer: &Answer) -> Value {
    let (_, body) = answer.text.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}

fn outlasts_guesses_in_bulk(place: &Place) {
    for (user, password) in [("ann", "wrong"), ("ann", ""), ("eve", PASSWORD), ("", PASSWORD), ("ANN", PASSWORD)] {
        let began = Instant::now();
        let answer = log_in(place, user, password);
        assert!(answer.status == 401 && !answer.text.contains("set-cookie"), "{user}: {}", answer.text);
        assert!(began.elapsed() >= Duration::from_millis(500), "a guess takes half a second");
    }
    std::thread::scope(|scope| {
        let guesses: Vec<_> =
            (0..40).map(|guess| scope.spawn(move || log_in(place, "ann", &format!("guess {guess}")).status)).collect();
        guesses.into_iter().for_each(|guess| assert_eq!(guess.join().unwrap(), 401));
    });
    assert_eq!(log_in(place, "ann", PASSWORD).status, 200);
}

#[test]
fn a_session_has_an_end() {
    let (place, _running) = serve(&format!("{EVERYWHERE}, session_lifetime_secs: 20"));
    let ann = log_in(&place, "ann", PASSWORD);
    assert!(ann.text.contains("; Max-Age=20;"), "{}", ann.text);
    let known = || sql(&place, &[&cookie(&ann)]).status;
    // The same cookie, first good and then not: nothing else changes.
    assert_eq!(known(), 200);
    wait_for("it is over", LIMIT, || (known() == 401).then_some(())).unwrap();
}

/// What nginx does unasked (`Host` is the upstream's), and what it does when told to keep the name.
#[test]
fn a_proxy_may_end_tls_and_cookies_are_for_tls_all_the_same() {
    let http = "listen: '0.0.0.0:PORT', tls_by_proxy: true, external_url: 'https://satisflow.example/'";
    let (place, _running) = serve(http);
    let url = "http://127.0.0.1:PORT/api/session";
    let login = json!({"user": "bob", "password": PASSWORD}).to_string();
    for host in ["host: 127.0.0.1:8080", "host: satisflow.example"] {
        let headers = ["-H", host, "-H", "origin: https://satisflow.example", "-H", "content-type: application/json"];
        let answer = curl(&place, url, &[&headers[..], &["-d", &login]].concat());
        assert!(answer.status == 200 && answer.text.contains("SameSite=Strict; Secure"), "{}", answer.text);
        assert!(cookie(&answer).starts_with("cookie: __Host-satisflow="));
    }
    let foreign = ["-H", "origin: https://evil.example", "-d", &login];
    assert_eq!(curl(&place, url, &foreign).status, 403);
    assert_eq!(curl(&place, "http://127.0.0.1:PORT/metrics", &[]).status, 401, "a proxy brings others to loopback");
}
