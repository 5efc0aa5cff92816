//! psql as people use it: each of its commands that describe something, and Ctrl-C.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use satisflow_testkit::wait_for;

use crate::place::{LIMIT, Place, scrape, series_of};
use crate::sql::{psql, psql_at, serve};

/// Commands of psql 15, and a part of what they have to say; empty: PostgreSQL would find nothing there either.
const COMMANDS: &[(&str, &str)] = &[
    ("\\d", "kpi_latest"),
    ("\\d+", "kpi_latest"),
    ("\\dS", "pg_class"),
    ("\\d kpis", "window_end"),
    ("\\d+ events", "event_id"),
    ("\\d+ kpi_latest", "kpi"),
    ("\\da", ""),
    ("\\dA", ""),
    ("\\dA+", ""),
    ("\\dAc", ""),
    ("\\dAf", ""),
    ("\\dAo", ""),
    ("\\dAp", ""),
    ("\\db", ""),
    ("\\db+", ""),
    ("\\dc", ""),
    ("\\dc+", ""),
    ("\\dC", ""),
    ("\\dC+", ""),
    ("\\dconfig", ""),
    ("\\dd", ""),
    ("\\dD", ""),
    ("\\dD+", ""),
    ("\\ddp", ""),
    ("\\dE", ""),
    ("\\des", ""),
    ("\\des+", ""),
    ("\\det", ""),
    ("\\det+", ""),
    ("\\deu", ""),
    ("\\deu+", ""),
    ("\\dew", ""),
    ("\\dew+", ""),
    ("\\df", ""),
    ("\\df+", ""),
    ("\\dF", ""),
    ("\\dF+", ""),
    ("\\dFd", ""),
    ("\\dFd+", ""),
    ("\\dFp", ""),
    ("\\dFp+", ""),
    ("\\dFt", ""),
    ("\\dFt+", ""),
    ("\\dg", ""),
    ("\\dg+", ""),
    ("\\di", ""),
    ("\\di+", ""),
    ("\\dl", ""),
    ("\\dl+", ""),
    ("\\dL", ""),
    ("\\dL+", ""),
    ("\\dm", ""),
    ("\\dm+", ""),
    ("\\dn", "public"),
    ("\\dn+", "public"),
    ("\\do", ""),
    ("\\do+", ""),
    ("\\dO", ""),
    ("\\dO+", ""),
    ("\\dp", "kpis"),
    ("\\dP", ""),
    ("\\dP+", ""),
    ("\\drds", ""),
    ("\\dRp", ""),
    ("\\dRp+", ""),
    ("\\dRs", ""),
    ("\\dRs+", ""),
    ("\\ds", ""),
    ("\\ds+", ""),
    ("\\dt", "events"),
    ("\\dt+", "events"),
    ("\\dT", ""),
    ("\\dT+", ""),
    ("\\du", ""),
    ("\\du+", ""),
    ("\\dv", "kpi_latest"),
    ("\\dv+", "kpi_latest"),
    ("\\dx", ""),
    ("\\dx+", ""),
    ("\\dX", ""),
    ("\\dy", ""),
    ("\\dy+", ""),
    ("\\l", "satisflow"),
    ("\\l+", "satisflow"),
    ("\\lo_list", ""),
    ("\\sv kpi_latest", "SELECT DISTINCT ON"),
    ("\\sv+ kpi_series", "valid_until"),
    ("\\z", "kpis"),
    ("\\conninfo", "satisflow"),
    ("\\encoding", "UTF8"),
];

const ENDLESS: &str =
    "select count(*) from events a, events b, events c, events d where a.score + b.score + c.score + d.score < 0";

/// One service for all.
#[test]
fn psql_describes_everything_and_is_interrupted() {
    let (place, _running) = serve();
    for (command, part) in COMMANDS {
        let (worked, text) = psql_at(place.sql, command);
        // So says psql of PostgreSQL's own empty lists.
        let worked = worked || text.starts_with("Did not find any");
        assert!(worked && !text.contains("ERROR") && text.contains(part), "{command}: {text}");
    }
    shows_the_definitions_of_views(&place);
    ends_a_statement_by_ctrl_c(&place);
    statements_are_counted_by_what_became_of_them(&place);
}

fn shows_the_definitions_of_views(place: &Place) {
    let described = psql(place.sql).args(["-c", "\\d+ alerts_open"]).output().unwrap();
    let described = String::from_utf8(described.stdout).unwrap();
    assert!(described.contains("View definition:") && described.contains("alert_state <> 'clear'"), "{described}");
    let by_name = psql_at(place.sql, "select pg_get_viewdef('kpi_series'::regclass, true)").1;
    let by_view = psql_at(place.sql, "select definition from pg_views where viewname = 'kpi_series'").1;
    let standard = "select view_definition from information_schema.views where table_name = 'kpi_series'";
    assert!(by_name.starts_with("SELECT *, lead(window_end) OVER"), "{by_name}");
    assert_eq!((&by_view, &psql_at(place.sql, standard).1), (&by_name, &by_name));
    assert_eq!(psql_at(place.sql, "select pg_get_viewdef(0) is null").1, "t");
    // What is shown runs, but for the view over what the lake alone has.
    let views = psql_at(place.sql, "select viewname from pg_views order by 1").1;
    assert_eq!(views, "alerts_open\nevent_answers\nevents_distinct\nkpi_current\nkpi_latest\nkpi_series");
    for view in views.lines().filter(|view| *view != "event_answers") {
        let definition = psql_at(place.sql, &format!("select pg_get_viewdef('{view}')")).1;
        assert!(!definition.contains("internal"), "{definition}");
        let rows = |from: &str| psql_at(place.sql, &format!("select count(*) from {from}")).1;
        assert_eq!(rows(&format!("({definition}) as shown")), rows(view), "{view}");
    }
}

/// A metric of the listener.
fn of_postgres(place: &Place, metric: &str, more: &str) -> Option<u64> {
    let begin = format!("{metric}{{listener=\"postgres\"{more}}}");
    let text = scrape(place.http)?;
    text.lines().find(|line| line.starts_with(&begin))?.rsplit(' ').next()?.parse().ok()
}

fn runs(place: &Place, number: u64) {
    let running = || of_postgres(place, "satisflow_sql_statements_running", "").filter(|running| *running == number);
    wait_for("statements run", LIMIT, running).unwrap();
}

/// On a terminal, where the key sends a signal to psql, and psql a cancel request.
fn ends_a_statement_by_ctrl_c(place: &Place) {
    let endless = format!("{ENDLESS};\n");
    // The status that counts is psql's: that of `script` is another one if the terminal hangs up at its read.
    let psql = format!("psql -X -h 127.0.0.1 -p {} -d satisflow -U u -P pager=off", place.sql);
    let psql = format!("trap : INT; {psql}; echo psql ended with $?");
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &psql, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut press = |text: &str| {
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
    };
    press(&endless);
    runs(place, 1);
    press("\u{3}");
    runs(place, 0);
    press("select 'still ' || 'alive';\n\\q\n");
    let mut said = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    terminal.wait().unwrap();
    assert!(said.contains("psql ended with 0"), "{said}");
    let told = said.find("canceling statement due to user request");
    assert!(told.is_some() && said.find("still alive") > told, "{said}");
    assert!(!said.contains("connection to the server was lost"), "{said}");
}

fn statements_are_counted_by_what_became_of_them(place: &Place) {
    let count = |outcome: &str| {
        of_postgres(place, "satisflow_sql_statements_total", &format!(",outcome=\"{outcome}\"")).unwrap()
    };
    let begins = ["ok", "error", "cancelled", "timeout", "refused"].map(count);
    assert_eq!(begins[2], 1, "Ctrl-C");
    psql_at(place.sql, "select 1");
    psql_at(place.sql, "select nothing");
    psql_at(place.sql, "drop table events");
    let late = psql(place.sql).args(["-c", "set statement_timeout = 300", "-c", ENDLESS]).output().unwrap();
    assert!(String::from_utf8_lossy(&late.stderr).contains("statement timeout"), "{late:?}");
    let ends = ["ok", "error", "cancelled", "timeout", "refused"].map(count);
    let more: Vec<u64> = ends.iter().zip(begins).map(|(end, begin)| end - begin).collect();
    // `set` is one, too.
    assert_eq!(more, [2, 1, 0, 1, 1]);
    let seconds = of_postgres(place, "satisflow_sql_statement_seconds_count", "").unwrap();
    assert_eq!(seconds, ends.iter().sum::<u64>());
    let closed = || of_postgres(place, "satisflow_sql_connections", "").filter(|open| *open == 0);
    wait_for("connections are closed", LIMIT, closed).unwrap();
    over_http(place);
}

fn over_http(place: &Place) {
    let ask = |sql: &'static str| {
        let request = reqwest::blocking::Client::new().post(format!("http://127.0.0.1:{}/sql", place.http));
        request.header("content-type", "application/sql").body(sql).send().unwrap().text().unwrap()
    };
    for sql in ["select 1", "select nothing", "drop table events"] {
        ask(sql);
    }
    let text = scrape(place.http).unwrap();
    let open = series_of(&text, "satisflow_sql_connections{listener=\"http\"}");
    assert!(open.unwrap() > 0.0, "this one is open: {open:?}");
    for (outcome, count) in [("ok", 1), ("error", 1), ("refused", 1), ("cancelled", 0)] {
        let line = format!("satisflow_sql_statements_total{{listener=\"http\",outcome=\"{outcome}\"}} {count}");
        assert!(text.contains(&line), "{line}: {text}");
    }
}
