"""psycopg 3: both protocols, nested transactions, COPY, settings, time zones, pipelines."""
import sys

import psycopg

where = {"host": "127.0.0.1", "port": int(sys.argv[1]), "dbname": "satisflow", "user": "u"}
with psycopg.connect(**where) as connection:
    for _ in range(7):
        n, = connection.execute("select count(*) from events where kind = %s", ("rating",), prepare=True).fetchone()
    print(n > 0, connection.execute("select 1.5::numeric, 2::float8, true", binary=True).fetchone())
    try:
        with connection.transaction(), connection.transaction():
            connection.execute("select nothing")
    except psycopg.Error as error:
        print(error.sqlstate, connection.execute("select 'alive'").fetchone())
    with connection.cursor().copy("copy (select 1 as a, 'x\ty' as b) to stdout") as copy:
        print(list(copy.rows()))
    with connection.cursor().copy("copy (select 1::int8, timestamptz '2026-01-01T00:00:00Z') to stdout binary") as copy:
        copy.set_types(["int8", "timestamptz"])
        print(list(copy.rows()))
    with connection.pipeline():
        first, second = connection.execute("select %s::int", (1,)), connection.execute("select %s::int", (2,))
        print(first.fetchone(), second.fetchone())
    connection.rollback()
    connection.execute("set local statement_timeout = 1000")
    print(connection.execute("show statement_timeout").fetchone())
    connection.rollback()
    print(connection.execute("show statement_timeout").fetchone())
with psycopg.connect(**where, options="-c TimeZone=Asia/Shanghai", autocommit=True) as connection:
    print(connection.info.parameter_status("TimeZone"))
    text = "select timestamptz '2026-01-01 08:00:00' = timestamptz '2026-01-01T00:00:00Z', event_time::text from events"
    print(connection.execute(text + " limit 1").fetchone()[0])
    shown = psycopg.ClientCursor(connection).execute("select max(event_time) from events").fetchone()[0]
    print(shown.tzinfo)
    connection.execute("reset all")
    print(connection.info.parameter_status("TimeZone"))
