//! Arrow Flight SQL with its real clients, and with those that mean harm.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use satisflow_testkit::{CERTIFICATE, Running, repository, script, wait_for};

use crate::access::{self, PASSWORD};
use crate::attacks::{STATEMENTS, too_much};
use crate::place::{LIMIT, Place, python};
use crate::sql::{cpu_ticks, memory, psql_at, serve_with};

/// Rows that a result of the tests may have.
const ROWS_MAX: u32 = 3_000_000;

fn serve(limits: &str) -> (Place, Running) {
    let flight = |place: &Place| format!("flight: {{ listen: '127.0.0.1:{}', {limits} }}\n", place.flight);
    let (place, running) = serve_with(flight);
    wait_for("Flight SQL listens", LIMIT, || TcpStream::connect(("127.0.0.1", place.flight)).ok()).unwrap();
    (place, running)
}

/// What a program says that begins with [`HEAD`].
fn client(place: &Place, program: &str, more: &[&str]) -> String {
    let (program, port) = (format!("{HEAD}{program}"), place.flight.to_string());
    let mut arguments = vec!["-c", &program, &port];
    arguments.extend(more);
    python(&arguments)
}

/// ADBC's driver, and Flight without SQL, for which the messages of Flight SQL are written by hand.
const HEAD: &str = "
import json, sys, threading, time
import pyarrow
import adbc_driver_flightsql.dbapi as adbc
import pyarrow.flight as plain
from adbc_driver_flightsql import DatabaseOptions as O
port = sys.argv[1]
ENDLESS = 'select count(*) from events a, events b, events c, events d where a.score + b.score + c.score + d.score < 0'
LONG = 'select a.event_id, b.event_id as other from events a, events b, events c limit '
WIDE = 'select repeat(a.event_id, 200) as wide from events a, events b, events c limit '
def connect(uri='grpc://127.0.0.1', **options):
    return adbc.connect(f'{uri}:{port}', db_kwargs=options, autocommit=True)
def ask(connection, query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
def told(work, *arguments):
    try:
        return work(*arguments)
    except adbc.Error as error:
        return error.status_code.name
    except plain.FlightError as error:
        return type(error).__name__
def length(n):
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + length(n // 128)
def field(tag, data):
    return bytes([tag * 8 + 2]) + length(len(data)) + data
def message(name, *fields):
    content = b''.join(field(tag, data) for tag, data in enumerate(fields, 1))
    return field(1, b'type.googleapis.com/arrow.flight.protocol.sql.' + name) + field(2, content)
def command(query):
    return plain.FlightDescriptor.for_command(message(b'CommandStatementQuery', query.encode()))
";

fn check_alive(place: &Place) {
    let program = "print(ask(connect(), 'select count(*) from events'))";
    wait_for("Flight SQL answers", LIMIT, || (client(place, program, &[]) == "[(400,)]").then_some(())).unwrap();
    assert_eq!(psql_at(place.sql, "select count(*) from events"), (true, "400".to_owned()));
}

#[test]
fn flight_answers_as_the_other_listeners_do() {
    let (place, running) = serve(&format!("connections_max: 8, streams_max: 4, rows_max: {ROWS_MAX}"));
    let file = repository().join("tests/clients/flight_client.py");
    let text = python(&[file.to_str().unwrap(), &place.flight.to_string(), &place.http.to_string()]);
    assert_eq!(text + "\n", ADBC);
    streams_what_is_long(&place, &running);
    limits_connections(&place);
    cancels_what_nobody_wants(&place, &running);
    ends_what_never_ends_and_what_nobody_reads(&place);
    check_alive(&place);
}

/// A result of millions of rows takes the memory of a few batches.
fn streams_what_is_long(place: &Place, running: &Running) {
    let program = "
rows_max = int(sys.argv[2])
cursor = connect().cursor()
cursor.execute(LONG + str(rows_max))
read, size = 0, 0
for batch in cursor.fetch_record_batch():
    read, size = read + batch.num_rows, size + batch.nbytes
print(read, size > 60_000_000)
cursor.execute(LONG + str(rows_max + 1))
try:
    cursor.fetch_arrow_table()
except Exception as error:
    print('flight.rows_max' in str(error))
cursor.close()
";
    let before = memory(running.id());
    let rows_max = ROWS_MAX.to_string();
    let (done, most) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| client(place, program, &[&rows_max]));
        let mut most = before;
        while !reading.is_finished() {
            most = memory(running.id()).max(most);
            std::thread::sleep(Duration::from_millis(20));
        }
        (reading.join().unwrap(), most)
    });
    assert_eq!(done, format!("{ROWS_MAX} True\nTrue"));
    let grown = most.saturating_sub(before);
    assert!(grown < 70_000_000, "{grown} bytes of memory");
}

fn limits_connections(place: &Place) {
    let connect = || TcpStream::connect(("127.0.0.1", place.flight)).unwrap();
    let all_are_held = || {
        let held: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
        let mut refused = connect();
        refused.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        // Whoever is served is greeted with settings; whoever is refused reads the end.
        let end = refused.read(&mut [0]).ok().filter(|count| *count == 0);
        end.map(|_| held)
    };
    let held = wait_for("one too many is refused", LIMIT, all_are_held).unwrap();
    drop(held);
    check_alive(place);
}

/// By the driver's own cancel, by the action of Flight, and with the client.
fn cancels_what_nobody_wants(place: &Place, running: &Running) {
    let rests = || {
        let before = cpu_ticks(running.id());
        std::thread::sleep(Duration::from_millis(500));
        (cpu_ticks(running.id()) - before < 20).then_some(())
    };
    let program = "
connection = connect()
cursor = connection.cursor()
start = time.monotonic()
def endless():
    cursor.execute(ENDLESS)
    return cursor.fetchall()
threading.Timer(1, cursor.adbc_cancel).start()
print(told(endless), time.monotonic() - start < 10)
client = plain.connect(f'grpc://127.0.0.1:{port}')
info = client.get_flight_info(command(ENDLESS))
def cancel():
    result, = client.do_action(('CancelFlightInfo', field(1, info.serialize())))
    return result.body.to_pybytes() == b'\\x08\\x01'
print(cancel())
def cancelled():
    while not cancel():
        time.sleep(0.05)
threading.Thread(target=cancelled).start()
start = time.monotonic()
print(told(lambda: client.do_get(info.endpoints[0].ticket).read_chunk()))
print(time.monotonic() - start < 10, cancel())
cursor.close(), connection.close()
";
    assert_eq!(client(place, program, &[]), "CANCELLED True\nFalse\nFlightCancelledError\nTrue False");
    let soon = Duration::from_secs(10);
    wait_for("what was cancelled uses no processor", soon, rests).unwrap();
    let mut killed = Command::new(script("python-env.sh").unwrap());
    let program = format!("{HEAD}ask(connect(), ENDLESS)");
    killed.args(["-c", &program, &place.flight.to_string()]).stderr(Stdio::null());
    let before = cpu_ticks(running.id());
    let mut killed = killed.spawn().unwrap();
    wait_for("the statement runs", LIMIT, || (cpu_ticks(running.id()) - before > 100).then_some(())).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Long before its time limit of 20 s.
    wait_for("it has ended with its client", soon, rests).unwrap();
}

/// Results that are not read hold their places until the timeout, and no longer.
fn ends_what_never_ends_and_what_nobody_reads(place: &Place) {
    let program = "
client = plain.connect(f'grpc://127.0.0.1:{port}')
def started(query):
    return client.do_get(client.get_flight_info(command(query)).endpoints[0].ticket)
endless, unread = started(ENDLESS), [started(WIDE + sys.argv[2]) for _ in range(3)]
print(all(reader.read_chunk().data.num_rows > 0 for reader in unread))
try:
    ask(connect(), 'select 1')
except adbc.Error as error:
    print('flight.streams_max' in str(error))
print(told(endless.read_chunk))
while told(ask, connect(), 'select 1') != [(1,)]:
    time.sleep(0.1)
for reader in unread:
    try:
        while reader.read_chunk():
            pass
    except StopIteration:
        print('read')
    except plain.FlightError as error:
        print('statement timeout' in str(error))
";
    assert_eq!(client(place, program, &[&ROWS_MAX.to_string()]), "True\nTrue\nFlightTimedOutError\nTrue\nTrue\nTrue");
}

const ADBC: &str = "[(400, 'x', True, Decimal('1.50'))]
True True
True True
True True
True True
True True
False True
explained True
[DataType(string)] [{'x': 'x'}]
True True
[DataType(string), TimestampType(timestamp[us, tz=UTC])]
True True
True False
[(3, \"it's; drop table kpis\", 1)]
[('none',)]
INVALID_ARGUMENT INVALID_ARGUMENT
Satisflow True True
satisflow public
[('alerts', 'TABLE'), ('alerts_open', 'VIEW'), ('duplicates', 'TABLE'), ('event_answers', 'VIEW'), ('events', 'TABLE'), ('events_distinct', 'VIEW'), ('kpi_current', 'VIEW'), ('kpi_latest', 'VIEW'), ('kpi_live', 'TABLE'), ('kpi_series', 'VIEW'), ('kpis', 'TABLE'), ('rejects', 'TABLE')]
True True
['kpi_current', 'kpi_latest', 'kpi_series']
['TABLE', 'VIEW']
True
NOT_FOUND
INVALID_ARGUMENT UNAUTHORIZED INVALID_ARGUMENT
UNAUTHORIZED UNAUTHORIZED
UNAUTHORIZED
UNAUTHORIZED
UNAUTHORIZED
UNAUTHORIZED
NOT_IMPLEMENTED
NOT_IMPLEMENTED
[(400,)]
";

#[test]
fn nobody_asks_flight_without_a_password() {
    let (place, running) = access::serve();
    let folder = place.path().display().to_string();
    let own = access::own_address();
    assert!(!own.is_loopback(), "this machine has no address in a network");
    let program = "
folder, password, own = sys.argv[2:]
certificate = open(f'{folder}/CERTIFICATE').read()
def login(user, password, host='127.0.0.1', verified={O.TLS_ROOT_CERTS.value: certificate}):
    return connect(f'grpc+tls://{host}', username=user, password=password, **verified)
def bearing(token):
    return connect('grpc+tls://127.0.0.1', **{O.TLS_ROOT_CERTS.value: certificate, O.AUTHORIZATION_HEADER.value: token})
text = 'select text from events where event_id = $$a$$'
raw = 'select count(raw), count(raw_bytes) from rejects'
for user in ['ann', 'bob']:
    print(user, ask(login(user, password), text), ask(login(user, password), raw))
for user, wrong in [('ann', 'wrong'), ('ann', ''), ('eve', password), ('ANN', password)]:
    print(told(lambda: ask(login(user, wrong), 'select 1')), end=' ')
token = open(f'{folder}/token').read().strip()
print(ask(bearing(f'Bearer {token}'), text))
for wrong in [f'Bearer {token}x', f'Bearer {password}', 'Bearer ', 'Bearer a.b', 'Basic !', 'x']:
    print(told(lambda: ask(bearing(wrong), 'select 1')), end=' ')
print(told(lambda: ask(connect('grpc+tls://127.0.0.1', **{O.TLS_ROOT_CERTS.value: certificate}), 'select 1')))

# To a network, encrypted and not; and of a server that nobody vouches for.
print(ask(login('bob', password, own, {O.TLS_SKIP_VERIFY.value: 'true'}), 'select 1'))
for uri, options in [('grpc://' + own, {}), ('grpc://127.0.0.1', {}), ('grpc+tls://127.0.0.1', {})]:
    print(told(lambda: ask(connect(uri, username='ann', password=password, **options), 'select 1')), end=' ')

# The token of a login is good for its user alone, whose tickets show others no more than they may see.
client = plain.connect(f'grpc+tls://127.0.0.1:{port}', tls_root_certs=certificate)
def options(user):
    return plain.FlightCallOptions(headers=[client.authenticate_basic_token(user, password)])
ann, bob = options('ann'), options('bob')
ticket = client.get_flight_info(command(text), ann).endpoints[0].ticket
print([client.do_get(ticket, who).read_all().to_pylist() for who in [ann, bob]])
name, token = client.authenticate_basic_token('bob', password)
other = client.authenticate_basic_token('ann', password)[1]
forged = b'.'.join([other.split(b'.')[0], token.split(b'.')[1]])
for wrong in [token[:-2], forged, b'Bearer ' + token]:
    print(told(client.get_flight_info, command(text), plain.FlightCallOptions(headers=[(name, wrong)])), end=' ')
print(told(client.do_get, ticket), told(lambda: client.authenticate_basic_token('bob', 'wrong')))
guesses = [threading.Thread(target=told, args=(lambda: login('ann', f'guess {n}'),)) for n in range(40)]
[guess.start() for guess in guesses], [guess.join() for guess in guesses]
print(ask(login('ann', password), 'select count(*) from events'))
";
    let program = program.replace("CERTIFICATE", CERTIFICATE);
    wait_for("Flight SQL listens", LIMIT, || TcpStream::connect(("127.0.0.1", place.flight)).ok()).unwrap();
    assert_eq!(client(&place, &program, &[&folder, PASSWORD, &own.to_string()]), LOGINS.trim());
    let (log, token) = (running.log(), std::fs::read_to_string(place.path().join("token")).unwrap());
    assert!(log.contains("a Flight SQL request with a wrong token or password"), "{log}");
    assert!(!log.contains(token.trim()) && !log.contains(PASSWORD) && !log.contains("555-0100"), "{log}");
}

const LOGINS: &str = "
ann [('call me: 555-0100',)] [(1, 1)]
bob [(None,)] [(0, 1)]
UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED [('call me: 555-0100',)]
UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED UNAUTHENTICATED
[(1,)]
IO IO IO [[{'text': 'call me: 555-0100'}], [{'text': None}]]
FlightUnauthenticatedError FlightUnauthenticatedError FlightUnauthenticatedError FlightUnauthenticatedError \
FlightUnauthenticatedError
[(2,)]
";

/// The list of docs/security.md, run, prepared and as an update; and what is no Flight SQL.
#[test]
fn no_attack_succeeds_through_flight() {
    let (place, _running) = serve("connections_max: 64");
    let before = psql_at(place.sql, "select count(*), sum(n) from kpis");
    let file = place.path().join("attacks.json");
    let send = |statements: &[String]| {
        std::fs::write(&file, serde_json::to_string(statements).unwrap()).unwrap();
        client(&place, TRIES, &[file.to_str().unwrap()])
    };
    assert!(send(&["select 1".to_owned()]).starts_with("worked: run select 1"), "what is no attack works");
    for (kind, attacks) in STATEMENTS {
        let attacks: Vec<String> = attacks.iter().map(|attack| (*attack).to_owned()).collect();
        assert_eq!(send(&attacks), "", "{kind}");
    }
    check_alive(&place);
    for statement in too_much() {
        // Answered or refused: what counts is that the service lives.
        let text = send(&[statement]);
        assert!(!text.contains("Traceback"), "{}", &text[..text.len().min(2000)]);
    }
    check_alive(&place);
    assert_eq!(client(&place, FORGERIES, &[]), "1");
    bytes_of_no_protocol(&place);
    assert!(!std::path::Path::new("/tmp/satisflow-attack").exists());
    assert_eq!(psql_at(place.sql, "select count(*), sum(n) from kpis"), before);
}

const TRIES: &str = "
connection = connect()
for statement in json.load(open(sys.argv[2])):
    def run(cursor):
        cursor.execute(statement)
        cursor.fetchall()
    def prepare(cursor):
        cursor.adbc_prepare(statement)
        cursor.execute(statement, None)
        cursor.fetchall()
    def update(cursor):
        cursor.adbc_statement.set_sql_query(statement)
        cursor.adbc_statement.execute_update()
    for attack in [run, prepare, update]:
        with connection.cursor() as cursor:
            try:
                attack(cursor)
                print('worked:', attack.__name__, statement[:1000])
            except adbc.Error:
                pass
";

/// Tickets and messages that this server never gave out.
const FORGERIES: &str = "
client = plain.connect(f'grpc://127.0.0.1:{port}')
def statement(query, id=bytes(16)):
    return field(1, id) + field(2, query.encode())
def get(ticket):
    return client.do_get(plain.Ticket(ticket)).read_all()
def put(name, *fields):
    schema = pyarrow.schema([])
    writer, reader = client.do_put(plain.FlightDescriptor.for_command(message(name, *fields)), schema)
    writer.done_writing()
    reader.read()
    writer.close()
print(get(message(b'TicketStatementQuery', statement('select 1'))).num_rows)
drop = b'drop table kpis'
attacks = [
    (get, message(b'TicketStatementQuery', statement('drop table kpis'))),
    (get, message(b'TicketStatementQuery', statement('select * from records_internal'))),
    (get, message(b'TicketStatementQuery', statement('select 1; delete from kpis'))),
    (get, message(b'TicketStatementQuery', statement('select 1', b'short'))),
    (get, message(b'TicketStatementQuery', b'\\xff' * 64)),
    (get, message(b'CommandPreparedStatementQuery', statement('delete from kpis'))),
    (get, message(b'CommandStatementUpdate', drop)),
    (get, message(b'Nothing', drop)),
    (get, b''), (get, b'\\xff' * 1000), (get, b'x' * (5 << 20)), (get, field(1, b'') * 100_000),
    (put, b'CommandStatementUpdate', drop),
    (put, b'CommandPreparedStatementUpdate', statement('delete from kpis')),
    (put, b'CommandPreparedStatementQuery', b'\\xff' * 64),
    (put, b'CommandStatementIngest', b'', b'kpis'),
    (put, b'CommandStatementSubstraitPlan', b''),
    (put, b'Nothing'),
]
for name in ['BeginTransaction', 'BeginSavepoint', 'CreatePreparedStatement', 'CreatePreparedSubstraitPlan', 'CancelQuery',
             'CancelFlightInfo', 'RenewFlightEndpoint', 'SetSessionOptions', 'Nothing', '']:
    attacks.append((lambda name: list(client.do_action((name, b'\\xff' * 64))), name))
attacks.append((lambda _: list(client.list_flights()), b''))
for attack, *arguments in attacks:
    try:
        attack(*arguments)
        print('worked:', arguments)
    except (plain.FlightError, pyarrow.ArrowException, OSError, ValueError):
        pass
";

fn bytes_of_no_protocol(place: &Place) {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let after = |bytes: &[u8]| [&preface[..], settings, bytes].concat();
    let all = [
        vec![0; 64],
        vec![0xff; 4096],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        preface[..10].to_vec(),
        preface.to_vec(),
        after(&[0xff; 1024]),
        after(&[0; 1024]),
        // A frame of 16 MB, a header block that is none, a window of nothing, resets of streams that are not there.
        after(b"\xff\xff\xff\0\0\0\0\0\x01"),
        after(b"\0\0\x04\x01\x05\0\0\0\x01\xff\xff\xff\xff"),
        after(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0"),
        after(&b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08".repeat(10_000)),
        after(&b"\0\0\x08\x06\0\0\0\0\x0012345678".repeat(10_000)),
    ];
    for bytes in all {
        let mut socket = TcpStream::connect(("127.0.0.1", place.flight)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // The server may hang up in the middle.
        let _ = socket.write_all(&bytes);
        let _ = socket.read_to_end(&mut Vec::new());
        check_alive_at_once(place);
    }
    check_alive(place);
}

fn check_alive_at_once(place: &Place) {
    assert_eq!(psql_at(place.sql, "select 1"), (true, "1".to_owned()));
}
