//! SQL with the clients that data teams have: each does what it does for its users.

use std::path::PathBuf;
use std::process::Command;

use satisflow_testkit::{Running, repository, script, wait_for};

use crate::place::{LIMIT, Place};
use crate::sql::{psql_at, serve};

/// Client, what it is pinned to, where, and what is tried: a row of docs/clients.md each.
const CLIENTS: &[(&str, &str, &str, &str)] = &[
    (
        "psql",
        "15",
        "",
        "every `\\d` command, `\\l`, `\\sv`, `\\z`, tab completion, `\\copy (select ...) to file`, Ctrl-C",
    ),
    (
        "psycopg",
        "3.2",
        "scripts/python-env.sh",
        "both protocols, prepared statements, pipelines, nested transactions, `COPY` as text and binary, \
         settings, time zones",
    ),
    (
        "asyncpg",
        "0.32",
        "scripts/python-env.sh",
        "binary results, cursors, `copy_from_query`, prepared statements, a pool with its reset",
    ),
    (
        "SQLAlchemy",
        "2.1",
        "scripts/python-env.sh",
        "inspector (schemas, tables, views, columns, keys, indexes, constraints, comments), reflection, a query \
         over it",
    ),
    (
        "tokio-postgres",
        "0.7",
        "tests/clients/tokio-postgres/Cargo.toml",
        "binary results, portals in parts, `copy_out`, transactions, cancelling",
    ),
    (
        "pgjdbc",
        "42.7.4",
        "scripts/fetch-clients.sh",
        "DatabaseMetaData (catalogs, schemas, tables, views, columns, keys, indexes, types, functions), \
         prepared statements, fetch size, savepoints, query timeout",
    ),
    (
        "node-postgres",
        "8.23.1",
        "scripts/fetch-clients.sh",
        "parameters, named statements, errors, transactions, a pool",
    ),
    // In `flight.rs`.
    (
        "ADBC for Flight SQL",
        "1.13",
        "scripts/python-env.sh",
        "results as over HTTP, streams of millions of rows, parameters, prepared statements, metadata, \
         `adbc_get_objects`, logins and tokens, TLS, cancelling, refusals",
    ),
    (
        "Grafana",
        "queries of 12f912ab",
        "tests/clients/grafana.sql",
        "the queries of its query builder: version, tables, columns",
    ),
    (
        "Metabase",
        "queries of 0.55.1",
        "tests/clients/metabase.sql",
        "the queries of connecting and syncing: schemas, privileges, tables, fields, keys, indexes",
    ),
    (
        "DBeaver",
        "queries of 25.1.5",
        "tests/clients/dbeaver.sql",
        "the queries of connecting and opening a schema: types, classes, columns, constraints, indexes",
    ),
];

/// One service for all.
#[test]
fn clients_work() {
    let (place, _running): (Place, Running) = serve();
    psql(&place);
    of_catalogs(&place);
    python(&place);
    let folder = PathBuf::from(script("fetch-clients.sh").unwrap());
    let port = place.sql.to_string();
    let mut jdbc = Command::new("java");
    let jar = folder.join("postgresql-42.7.4.jar");
    jdbc.arg("-cp").arg(jar).arg(repository().join("tests/clients/Metadata.java")).arg(&port);
    check(&mut jdbc, JDBC);
    let mut node = Command::new("node");
    node.env("NODE_PATH", folder.join("node_modules")).arg(repository().join("tests/clients/node-pg.js")).arg(&port);
    check(&mut node, NODE);
    check(Command::new(folder.join("tokio-postgres/debug/tokio-postgres-client")).arg(&port), TOKIO);
    wait_for("the service answers on", LIMIT, || psql_at(place.sql, "select 1").0.then_some(())).unwrap();
}

/// What a client says, beside what it has to.
fn check(command: &mut Command, expected: &str) {
    let done = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(text, expected);
}

fn psql(place: &Place) {
    assert!(psql_at(place.sql, "\\d+ kpis").1.contains("window_end|timestamp with time zone"));
    let file = place.path().join("copied.csv");
    let (worked, text) =
        psql_at(place.sql, &format!("\\copy (select 1 as a, 'x' as b) to '{}' csv header", file.display()));
    assert!(worked, "{text}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "a,b\n1,x\n");
    let rows: Vec<String> = statements("psql-completion.sql").iter().map(|query| psql_at(place.sql, query).1).collect();
    assert!(rows[0].contains("kpi_latest") && rows[1].contains("public"), "{rows:?}");
    assert!(rows[2].contains("window_name") && rows[3].contains("standard_conforming_strings"), "{rows:?}");
    assert!(rows[4].contains("satisflow"), "{rows:?}");
}

/// The statements of a file: each after a line of dashes.
fn statements(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("tests/clients").join(file)).unwrap();
    text.split("\n----\n").skip(1).map(str::to_owned).collect()
}

/// In both protocols: each works, and these find something.
fn of_catalogs(place: &Place) {
    let answered = |(file, found_in): (&str, usize)| {
        let path = repository().join("tests/clients").join(file);
        let text = place.psycopg(CATALOG_QUERIES, &[path.to_str().unwrap()]);
        let found: Vec<&str> = text.lines().collect();
        assert!(!text.contains("failed"), "{file}: {text}");
        assert_eq!(found.len(), 2 * statements(file).len(), "{file}: {text}");
        assert!(found.iter().filter(|rows| **rows != "0" && **rows != "-").count() >= 2 * found_in, "{file}: {text}");
        text
    };
    let [of_grafana, of_metabase, _] = [("grafana.sql", 3), ("metabase.sql", 5), ("dbeaver.sql", 9)].map(answered);
    let columns = psql_at(place.sql, "select count(*) from information_schema.columns where table_name = 'kpis'").1;
    assert_eq!(of_grafana.lines().next_back(), Some(columns.as_str()), "Grafana finds each column of kpis");
    let fields = "select count(*) from information_schema.columns where table_schema = 'public'";
    assert_eq!(of_metabase.lines().nth_back(2), Some(&*psql_at(place.sql, fields).1), "Metabase finds each field");
    let time =
        "select data_type from information_schema.columns where table_name = 'kpis' and column_name = 'window_end'";
    assert_eq!(psql_at(place.sql, time).1, "timestamp with time zone");
}

const CATALOG_QUERIES: &str = "
import sys, psycopg
queries = open(sys.argv[2]).read().split('\\n----\\n')[1:]
for cursor in [psycopg.ClientCursor, psycopg.Cursor]:
    with psycopg.connect(host='127.0.0.1', port=int(sys.argv[1]), dbname='satisflow', user='u', autocommit=True) as c:
        for query in queries:
            try:
                done = cursor(c).execute(query)
                print(len(done.fetchall()) if done.description else '-')
            except psycopg.Error as error:
                print('failed', error, query)
";

fn python(place: &Place) {
    let python = script("python-env.sh").unwrap();
    for (name, expected) in [("psycopg", PSYCOPG), ("asyncpg", ASYNCPG), ("sqlalchemy", SQLALCHEMY)] {
        let file = repository().join(format!("tests/clients/{name}_client.py"));
        check(Command::new(&python).arg(file).arg(place.sql.to_string()), expected);
    }
}

#[test]
fn the_table_of_clients_says_what_is_tried() {
    let document = std::fs::read_to_string(repository().join("docs/clients.md")).unwrap();
    for (client, version, pinned, tried) in CLIENTS {
        let row = format!("| {client} | {version} | {tried} | works |");
        assert!(document.lines().any(|line| line == row), "docs/clients.md lacks the row\n{row}");
        let number = version.trim_start_matches("queries of ");
        if number.starts_with(|sign: char| sign.is_ascii_digit()) && !pinned.is_empty() {
            let text = std::fs::read_to_string(repository().join(pinned)).unwrap();
            assert!(text.contains(number), "{pinned} has another version than {version} of {client}");
        }
    }
    let rows = document.lines().filter(|line| line.ends_with("| works |")).count();
    assert_eq!(rows, CLIENTS.len(), "docs/clients.md has rows of clients that nobody tries");
}

const PSYCOPG: &str = "True (Decimal('1.5000000000'), 2.0, True)
42703 ('alive',)
[('1', 'x\\ty')]
[(1, datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))]
(1,) (2,)
('1000',)
('0',)
Asia/Shanghai
True
Asia/Shanghai
UTC
";

const ASYNCPG: &str = "400
['str', 'Decimal', 'int', 'datetime']
['complaint_opened', 'rating', 'sale', 'survey_response']
400
COPY 1
b'a,b\\n1,\\n'
25006
['text'] ['int8']
[0, 1, 2, 3, 4]
";

const SQLALCHEMY: &str = "['public']
['alerts', 'duplicates', 'events', 'kpi_live', 'kpis', 'rejects']
['alerts_open', 'event_answers', 'events_distinct', 'kpi_current', 'kpi_latest', 'kpi_series']
{'kpi': 'TEXT', 'value': 'NUMERIC', 'n': 'BIGINT', 'window_end': 'TIMESTAMP', 'se': 'DOUBLE PRECISION'}
False True
{'name': None, 'constrained_columns': []} [] []
[] []
True False {'text': None}
12
csat
25006
";

const JDBC: &str = "PostgreSQL 16 false
catalogs true
schemas true
tables [alerts, duplicates, events, kpi_live, kpis, rejects]
views [kpi_current, kpi_latest, kpi_series]
kpi text 12
window_name text 12
grouping_set text 12
primary keys []
foreign keys []
indexes []
types true
privileges []
procedures 0
parameters text
prepared true
in parts 400
error 42703
refused 25006
after 400
";

const NODE: &str = "400 true
csat kpi,n
true
true
true
25006
Asia/Shanghai
2,3,4,5,6
";

const TOKIO: &str = "true true
[\"text\", \"int8\", \"float8\"] text
150 250
\"a,b\\n1,x\\n\"
Some(\"25006\")
true
alive
";
