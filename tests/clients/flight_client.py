"""ADBC over Flight SQL: queries, parameters, metadata, errors; results beside those over HTTP."""
import datetime
import sys
import urllib.request

import adbc_driver_flightsql.dbapi as flight
import pyarrow

uri, http = f"grpc://127.0.0.1:{sys.argv[1]}", f"http://127.0.0.1:{sys.argv[2]}/sql"


def over_http(query):
    headers = {"content-type": "application/sql", "accept": "application/vnd.apache.arrow.stream"}
    with urllib.request.urlopen(urllib.request.Request(http, query.encode(), headers)) as answer:
        return pyarrow.ipc.open_stream(answer).read_all()


def failing(work, *arguments, **named):
    try:
        work(*arguments, **named)
        return "worked"
    except flight.Error as error:
        return error.status_code.name


def content(table):
    """Names, types and rows, in whatever order."""
    return [(f.name, f.type) for f in table.schema], sorted(map(str, table.to_pylist()))


connection = flight.connect(uri, autocommit=True)
cursor = connection.cursor()


def ask(query, parameters=None):
    cursor.execute(query, parameters)
    return cursor.fetchall()


print(ask("select count(*), 'x' as x, true, 1.5::decimal(10, 2) from events"))
for query in [
    "select * from events", "select * from kpis", "select kpi, value, n, se, window_end from kpis where kpi = 'csat'",
    "select * from event_answers",
    "select kind, count(*) as n, avg(score) as mean from events group by kind", "select * from kpis where false",
    "explain select count(*) from events", "select arrow_cast('x', 'Dictionary(Int32, Utf8)') as x",
    "select * from information_schema.tables",
]:
    cursor.execute(query)
    table = cursor.fetch_arrow_table()
    if query.startswith("explain"):
        print("explained", table.num_rows > 0)
    elif "Dictionary" in query:
        print(table.schema.types, table.to_pylist())
    else:
        print(table.num_rows > 0, content(table) == content(over_http(query)))

counted = "select count(*) from events where kind = $1 and event_time >= $2"
print(cursor.adbc_prepare(counted).types)
start = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
for kind in ["rating", "nothing known"]:
    (found,), = ask(counted, (kind, start))
    (plain,), = ask(f"select count(*) from events where kind = '{kind}'")
    print(found == plain, found > 0)
print(ask("select $1::bigint + $2::bigint, $3::text, $1::bigint", (1, 2, "it's; drop table kpis")))
print(ask("select coalesce($1::text, 'none')", (None,)))
cursor.adbc_prepare("select $1::bigint as x")
print(failing(ask, "select $1::bigint"), failing(ask, "select $1::bigint, $2::bigint", (1,)))

told = connection.adbc_get_info()
print(told["vendor_name"], bool(told["vendor_version"]), bool(told["vendor_arrow_version"]))
objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
for catalog in objects:
    for schema in catalog["catalog_db_schemas"]:
        print(catalog["catalog_name"], schema["db_schema_name"])
        tables = {t["table_name"]: t for t in schema["db_schema_tables"]}
        print(sorted((name, table["table_type"]) for name, table in tables.items()))
        columns = [column["column_name"] for column in tables["kpis"]["table_columns"]]
        print(columns == connection.adbc_get_table_schema("kpis").names, "window_end" in columns)
like = connection.adbc_get_objects(depth="tables", table_name_filter="kpi\\_%", table_types_filter=["VIEW"])
print([t["table_name"] for c in like.read_all().to_pylist() for s in c["catalog_db_schemas"] for t in s["db_schema_tables"]])
print(connection.adbc_get_table_types())
cursor.execute("select * from kpis where false")
print(connection.adbc_get_table_schema("kpis").types == cursor.fetch_arrow_table().schema.types)
print(failing(connection.adbc_get_table_schema, "records_internal"))

print(failing(ask, "select * from nowhere"), failing(ask, "selec 1"), failing(ask, "select 1/0"))
print(failing(ask, "drop table kpis"), failing(ask, "select 1; select 2"))
cursor.adbc_statement.set_sql_query("delete from kpis")
print(failing(cursor.adbc_statement.execute_update))
print(failing(cursor.executemany, "select $1::bigint", [(1,), (2,)]))
print(failing(cursor.adbc_ingest, "kpis", pyarrow.table({"a": [1]}), mode="append"))
print(failing(cursor.adbc_ingest, "new", pyarrow.table({"a": [1]}), mode="create"))
print(failing(connection.adbc_connection.set_autocommit, False))
cursor.adbc_statement.set_substrait_plan(b"plan")
print(failing(cursor.adbc_statement.execute_query))
print(ask("select count(*) from events"))
cursor.close()
connection.close()
