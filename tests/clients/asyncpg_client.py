"""asyncpg: statements in binary, cursors, COPY, introspection of types, a pool with its reset."""
import asyncio
import datetime
import io
import sys

import asyncpg


async def main(port):
    where = {"host": "127.0.0.1", "port": port, "database": "satisflow", "user": "u"}
    connection = await asyncpg.connect(**where)
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    print(await connection.fetchval("select count(*) from events where event_time > $1", then))
    row = await connection.fetchrow("select kpi, value, n, window_end from kpi_latest where kpi = $1 limit 1", "csat")
    print([type(value).__name__ for value in row.values()])
    print(sorted(await connection.fetchval("select array_agg(distinct kind) from events")))
    async with connection.transaction(readonly=True, isolation="repeatable_read"):
        print(len([row async for row in connection.cursor("select event_id from events", prefetch=70)]))
    copied = io.BytesIO()
    print(await connection.copy_from_query("select 1 as a, null as b", output=copied, format="csv", header=True))
    print(copied.getvalue())
    try:
        await connection.execute("delete from kpis")
    except asyncpg.PostgresError as error:
        print(error.sqlstate)
    statement = await connection.prepare("select n from kpis where kpi = $1")
    print([kind.name for kind in statement.get_parameters()], [a.type.name for a in statement.get_attributes()])
    await connection.close()
    pool = await asyncpg.create_pool(**where, min_size=1, max_size=2)
    print(await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(5))))
    await pool.close()


asyncio.run(main(int(sys.argv[1])))
