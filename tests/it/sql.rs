//! SQL with the clients that people use, and with those that mean harm.

use std::io::Read;
use std::process::Command;

use satisflow_testkit::{Running, wait_for};

use crate::place::{LIMIT, Place, scrape, series_of};

/// A service over a lake of 400 records, its broker away.
pub fn serve() -> (Place, Running) {
    serve_with(|_| String::new())
}

/// The same with more lines of configuration.
pub fn serve_with(more: impl Fn(&Place) -> String) -> (Place, Running) {
    serve_limited(20_000, more)
}

/// The same with a time limit for statements.
fn serve_limited(statement_timeout_ms: u32, more: impl Fn(&Place) -> String) -> (Place, Running) {
    let place = Place::with("feedback", "127.0.0.1:1", "time: data");
    let path = place.path().join("satisflow.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let plain = format!("listen: '127.0.0.1:{}' }}", place.sql);
    let limited = format!("listen: '127.0.0.1:{}', statement_timeout_ms: {statement_timeout_ms} }}", place.sql);
    std::fs::write(&path, text.replace(&plain, &limited) + &more(&place)).unwrap();
    let events = place.program.succeed(&["generate", "--events", "400", "--clean"]).unwrap();
    std::fs::write(place.path().join("events.jsonl"), events).unwrap();
    place.program.succeed(&["replay", "events.jsonl"]).unwrap();
    let running = place.program.start("run", &["run"]).unwrap();
    wait_for("SQL answers", LIMIT, || (psql_at(place.sql, "select 1").0).then_some(())).unwrap();
    (place, running)
}

/// One service for all: what never ends comes last.
#[test]
fn sql_answers_real_clients_and_refuses_what_harms() {
    let (place, running) = serve();
    describes_what_is_published_and_nothing_else(&place);
    filters_the_newest_rows_as_if_all_were_there(&place);
    can_not_be_written_whatever_is_sent(&place);
    prepares_statements_of_psycopg(&place);
    answers_http_in_every_form(&place);
    tells_errors_by_their_sqlstate(&place);
    refuses_one_connection_too_many(&place);
    cancels_what_a_client_no_longer_wants(&place);
    ends_what_nobody_reads(&place);
    ends_what_a_killed_client_has_asked(&place, &running);
    ends_what_never_ends_or_is_too_deep(&place, &running);
}

/// psql without settings of whoever runs it.
pub fn psql(port: u16) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-h", "127.0.0.1", "-p", &port.to_string(), "-d", "satisflow"]);
    psql
}

pub fn psql_at(port: u16, command: &str) -> (bool, String) {
    let done = psql(port).args(["-v", "ON_ERROR_STOP=1", "-Atc", command]).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (done.status.success(), text.trim().to_owned())
}

fn check_alive(place: &Place) {
    assert_eq!(psql_at(place.sql, "select count(*) from events"), (true, "400".to_owned()));
}

fn describes_what_is_published_and_nothing_else(place: &Place) {
    for command in ["\\dt", "\\d", "\\l", "\\dn", "\\d events"] {
        let (worked, text) = psql_at(place.sql, command);
        assert!(worked, "{command}: {text}");
        if command == "\\dt" {
            assert!(text.contains("events|table") && !text.contains("kpi_latest"), "{text}");
        }
        if command == "\\d" {
            assert!(text.contains("kpi_latest") && !text.contains("internal"), "{text}");
        }
    }
    for name in ["records", "records_internal", "kpis_internal", "'/etc/passwd'", "\"/etc/passwd\""] {
        let (worked, text) = psql_at(place.sql, &format!("select * from {name}"));
        assert!(!worked, "{name}: {text}");
    }
    for name in [
        "events",
        "events_distinct",
        "event_answers",
        "rejects",
        "duplicates",
        "kpis",
        "kpi_current",
        "kpi_latest",
        "kpi_series",
        "kpi_live",
        "alerts",
        "alerts_open",
        "kpi_as_of('2100-01-01T00:00:00Z')",
    ] {
        let (worked, text) = psql_at(place.sql, &format!("select * from {name} limit 3"));
        assert!(worked, "{name}: {text}");
    }
}

/// With a filter on a column that tells series apart, and with the same where no plan can see it.
fn filters_the_newest_rows_as_if_all_were_there(place: &Place) {
    for (column, value) in [("window_name", "7d"), ("grouping_set", ""), ("kpi", "csat"), ("grouping_set", "region")] {
        let count = |condition: &str| {
            let query = format!("select count(*), sum(n), max(window_end) from kpi_latest where {condition}");
            psql_at(place.sql, &query)
        };
        let (worked, found) = count(&format!("{column} = '{value}'"));
        assert!(worked && !found.starts_with("0|"), "{column}: {found}");
        assert_eq!(count(&format!("concat({column}, '') = '{value}'")), (true, found));
    }
    // Windows of one's own, over a column of their key that a condition fixes.
    for view in ["kpi_current", "kpi_series"] {
        for partition in ["kpi, window_name, grouping_set", "window_name, kpi, grouping_set, department, region"] {
            let count = |condition: &str| {
                psql_at(
                    place.sql,
                    &format!(
                        "select count(*), sum(place), max(before) from (select row_number() over (partition by \
                         {partition} \
                         order by window_end desc) as place, lag(window_end) over (partition by {partition} order by \
                         window_end) as before from {view} where {condition}) as x"
                    ),
                )
            };
            for (column, value) in [("window_name", "7d"), ("grouping_set", "region"), ("kpi", "csat")] {
                let (worked, found) = count(&format!("{column} = '{value}'"));
                assert!(worked && !found.starts_with("0|"), "{view}, {partition}, {column}: {found}");
                assert_eq!(count(&format!("concat({column}, '') = '{value}'")), (true, found));
            }
        }
    }
    let newest = "select count(*) from kpi_latest as l join kpi_current as c using (fingerprint, window_name, \
                  grouping_set) where l.kpi = 'csat' and l.grouping_set = '' and c.window_end > l.window_end";
    assert_eq!(psql_at(place.sql, newest), (true, "0".to_owned()));
}

fn can_not_be_written_whatever_is_sent(place: &Place) {
    for attack in [
        "insert into kpis select * from kpis",
        "update kpis set n = 1",
        "delete from kpis",
        "create table x as select 1",
        "create view x as select 1",
        "create external table x stored as csv location '/etc/passwd'",
        "drop table kpis",
        "drop view events",
        "alter table kpis add column x int",
        "copy kpis to '/tmp/satisflow-attack'",
        "copy (select 1) to '/tmp/satisflow-attack'",
        "explain analyze insert into kpis select * from kpis",
        "explain analyze copy (select 1) to '/tmp/satisflow-attack'",
        "declare c cursor for select 1",
        "declare c cursor for delete from kpis",
        "select 1; drop table kpis",
        "with x as (delete from kpis returning 1) select * from x",
        "select * into x from kpis",
        "set datafusion.execution.target_partitions = 1",
        "set datafusion.catalog.location = '/etc'",
        "prepare p as delete from kpis",
        "select * from read_parquet('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
    ] {
        let (worked, text) = psql_at(place.sql, attack);
        assert!(!worked, "{attack}: {text}");
    }
    assert!(!std::path::Path::new("/tmp/satisflow-attack").exists());
    check_alive(place);
}

fn ends_what_never_ends_or_is_too_deep(place: &Place, running: &Running) {
    let endless = "select count(*) from events a, events b, events c, events d, events e where a.score + b.score + c.score + d.score + e.score < 0";
    // More of them than there are threads; then the threads are free again.
    let ended = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| psql_at(place.sql, endless))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    for (worked, text) in ended {
        assert!(!worked && text.contains("statement timeout"), "{text}");
    }
    let busy = || cpu_ticks(running.id());
    wait_for("ended statements use no processor", LIMIT, || {
        let before = busy();
        check_alive(place);
        std::thread::sleep(std::time::Duration::from_millis(500));
        (busy() - before < 40).then_some(())
    })
    .unwrap();
    let deep = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(!psql_at(place.sql, &deep).0);
    for long in [
        format!("select {}", vec!["1"; 260].join("+")),
        format!("select {}", vec!["1"; 20_000].join("+")),
        format!("select count(*) from kpis where {}", vec!["kpi = 'x'"; 410].join(" or ")),
        format!("select count(*) from kpis where n in ({})", vec!["1"; 1400].join(",")),
        format!("select {}", "1 ".to_owned() + &"::int".repeat(600)),
    ] {
        // Answered or refused, and the service lives on.
        let answered = psql_at(place.sql, &long);
        assert!(answered.0 || answered.1.contains("ERROR"), "{}", answered.1);
        check_alive(place);
    }
    check_alive(place);
}

fn prepares_statements_of_psycopg(place: &Place) {
    let program = "
import sys, psycopg
with psycopg.connect(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='u', autocommit=True) as c:
    for _ in range(7):
        n, = c.execute('select count(*) from events where kind = %s', ('rating',), prepare=True).fetchone()
    value, = c.execute('select value from kpi_latest where kpi = %s limit 1', ('csat',), binary=True).fetchone()
    try:
        c.execute('delete from kpis')
        print('deleted')
    except psycopg.Error as error:
        print(error.sqlstate, type(value).__name__, n > 0)
    print(c.execute('select 1').fetchone())
";
    assert_eq!(place.psycopg(program, &[]), "25006 Decimal True\n(1,)");
}

fn answers_http_in_every_form(place: &Place) {
    let url = format!("http://127.0.0.1:{}/sql", place.http);
    let send = |kind: &str, accept: &str, body: &str| {
        let request = reqwest::blocking::Client::new().post(&url).header("content-type", kind).header("accept", accept);
        let answer = request.body(body.to_owned()).send().unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap())
    };
    let query = "select 1 as a, 'x' as b";
    assert_eq!(send("application/sql", "*/*", query), (200, r#"[{"a":1,"b":"x"}]"#.into()));
    assert_eq!(send("application/sql", "text/csv", query), (200, "a,b\n1,x\n".into()));
    let (status, parquet) = send("application/sql", "application/vnd.apache.parquet", "select * from kpis");
    assert_eq!(status, 200);
    std::fs::write(place.path().join("kpis.parquet"), &parquet).unwrap();
    let read = "import sys, pyarrow.parquet as p; print(p.read_table(sys.argv[2]).num_rows)";
    let rows = place.psycopg(read, &[place.path().join("kpis.parquet").to_str().unwrap()]);
    assert_eq!(psql_at(place.sql, "select count(*) from kpis"), (true, rows));
    let openapi = reqwest::blocking::get(url.replace("/sql", "/openapi.json")).unwrap().text().unwrap();
    assert!(openapi.contains("\"/sql\"") && openapi.contains("application/vnd.apache.parquet"), "{openapi}");
    let (status, arrow) = send("application/sql", "application/vnd.apache.arrow.stream", query);
    assert!(status == 200 && arrow.starts_with(&[0xff, 0xff, 0xff, 0xff]));
    assert_eq!(send("text/plain", "*/*", query).0, 415);
    assert_eq!(send("application/json", "*/*", "{\"query\": 1}").0, 400);
    assert_eq!(send("application/sql", "*/*", "drop table kpis").0, 403);
    assert_eq!(send("application/sql", "*/*", "select nothing").0, 400);
    let foreign = reqwest::blocking::Client::new().post(&url).header("content-type", "application/sql");
    let foreign = foreign.header("origin", "http://evil.example").body("select 1").send().unwrap();
    assert_eq!(foreign.status().as_u16(), 403);
}

/// Resident memory of a process, bytes.
pub fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn ten_million_rows_take_the_memory_of_a_few_batches() {
    // A catalog of one KPI: what a start takes for rows and alerts is no memory of answers.
    let (place, running) = serve_limited(180_000, |place| {
        let catalog = "version: 1\nmeasures: { m: { kinds: [rating] } }\nmetrics: { k: { count: m } }\n";
        std::fs::write(place.path().join("one.yaml"), catalog).unwrap();
        "catalog: one.yaml\n".to_owned()
    });
    let url = format!("http://127.0.0.1:{}/sql", place.http);
    let send = |query: &str| {
        let request = reqwest::blocking::Client::builder().timeout(LIMIT).build().unwrap().post(&url);
        request
            .header("content-type", "application/sql")
            .header("accept", "text/csv")
            .body(query.to_owned())
            .send()
            .unwrap()
    };
    let rows = |limit: u32| format!("select a.event_id, b.event_id from events a, events b, events c limit {limit}");
    let before = memory(running.id());
    let (mut answer, mut lines, mut bytes, mut most) = (send(&rows(10_000_000)), 0, 0, 0);
    assert_eq!(answer.status().as_u16(), 200);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = answer.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        bytes += count;
        most = memory(running.id()).max(most);
        lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count();
    }
    assert_eq!(lines, 10_000_001);
    let grown = most.saturating_sub(before);
    assert!(bytes > 140_000_000 && grown < 70_000_000, "{grown} bytes of memory for {bytes} bytes");
    // One row more than are sent: the answer has no end that could be taken for its end.
    assert!(send(&rows(10_000_001)).bytes().is_err());
}

/// Processor time of a process so far, hundredths of a second.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn tells_errors_by_their_sqlstate(place: &Place) {
    let program = "
import sys, psycopg
with psycopg.connect(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='u', autocommit=True) as c:
    for sql in ['select * from nowhere', 'select nothing from events', 'selec 1', 'select nothing(1)',
                'select 1/0', \"select 'x'::int\", 'drop table kpis']:
        try:
            c.execute(sql).fetchall()
            print('worked:', sql)
        except psycopg.Error as error:
            print(error.sqlstate)
";
    let expected = "42P01\n42703\n42601\n42883\n22012\n22P02\n25006";
    assert_eq!(place.psycopg(program, &[]), expected);
}

fn refuses_one_connection_too_many(place: &Place) {
    let open = "satisflow_sql_connections{listener=\"postgres\"}";
    let open = || counted(place, open).filter(|open| *open == 0.0);
    wait_for("those before are gone", LIMIT, open).unwrap();
    let program = "
import sys, psycopg
held = []
try:
    for _ in range(200):
        held.append(psycopg.connect(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='u'))
except psycopg.OperationalError as error:
    print('too many connections' in str(error), len(held))
";
    assert_eq!(place.psycopg(program, &[]), "True 64");
    wait_for("connections are free again", LIMIT, || psql_at(place.sql, "select 1").0.then_some(())).unwrap();
}

/// A series of /metrics.
fn counted(place: &Place, series: &str) -> Option<f64> {
    series_of(&scrape(place.http)?, series)
}

fn ends_what_a_killed_client_has_asked(place: &Place, running: &Running) {
    let endless =
        "select count(*) from events a, events b, events c, events d where a.score + b.score + c.score + d.score < 0";
    let counted = |series: &str| counted(place, series);
    let ended =
        || counted("satisflow_sql_statements_total{listener=\"postgres\",outcome=\"cancelled\"}").unwrap_or(0.0);
    let before = ended();
    let mut client = psql(place.sql).args(["-Atc", endless]).spawn().unwrap();
    let runs = "satisflow_sql_statements_running{listener=\"postgres\"}";
    wait_for("the statement runs", LIMIT, || counted(runs).filter(|running| *running > 0.0)).unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    // And not by its time limit, which has an outcome of its own.
    wait_for("it has ended", LIMIT, || (ended() > before).then_some(())).unwrap();
    wait_for("it uses no processor", LIMIT, || {
        let before = cpu_ticks(running.id());
        std::thread::sleep(std::time::Duration::from_millis(500));
        (cpu_ticks(running.id()) - before < 20).then_some(())
    })
    .unwrap();
}

/// Of a result that is larger than what sockets hold, by its time and by a request to cancel.
fn ends_what_nobody_reads(place: &Place) {
    let program = "
import sys, time, urllib.request, psycopg
port, http = map(int, sys.argv[1:])
long = 'select repeat(a.event_id, 100) from events a, events b, events c'
def counted(series):
    lines = urllib.request.urlopen(f'http://127.0.0.1:{http}/metrics').read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series))
def is_ended(outcome, before):
    while counted('satisflow_sql_statements_total{listener=\"postgres\",outcome=\"' + outcome + '\"}') <= before:
        time.sleep(0.05)
    return True
with psycopg.connect(host='127.0.0.1', port=port, dbname='satisflow', user='u', autocommit=True) as c:
    for outcome, setting in [('timeout', 'set statement_timeout = 1000'), ('cancelled', 'reset statement_timeout')]:
        c.execute(setting)
        before = counted('satisflow_sql_statements_total{listener=\"postgres\",outcome=\"' + outcome + '\"}')
        rows = c.cursor().stream(long)
        print(len(next(rows)[0]) > 100)
        if outcome == 'cancelled':
            c.cancel()
        print(is_ended(outcome, before))
        try:
            print(sum(1 for row in rows))
        except psycopg.Error as error:
            print(error.sqlstate)
    print(c.execute('select 1').fetchone())
";
    let once = "True\nTrue\n57014\n";
    assert_eq!(place.psycopg(program, &[&place.http.to_string()]), format!("{once}{once}(1,)"));
}

fn cancels_what_a_client_no_longer_wants(place: &Place) {
    let program = "
import sys, threading, time, psycopg
port = int(sys.argv[1])
endless = 'select count(*) from events a, events b, events c, events d where a.score + b.score + c.score + d.score < 0'
with psycopg.connect(host='127.0.0.1', port=port, dbname='satisflow', user='u', autocommit=True) as c:
    threading.Timer(1, c.cancel).start()
    start = time.monotonic()
    try:
        c.execute(endless)
    except psycopg.Error as error:
        print(error.sqlstate, time.monotonic() - start < 15)
    print(c.execute('select 1').fetchone())
    c.execute('set statement_timeout = 1000')
    start = time.monotonic()
    try:
        c.execute(endless)
    except psycopg.Error as error:
        print(error.sqlstate, time.monotonic() - start < 15)
";
    assert_eq!(place.psycopg(program, &[]), "57014 True\n(1,)\n57014 True");
}
