"""The same SQL text over HTTP by the service and by DuckDB on the same Parquet files, results compared."""

import io
import json
import statistics
import sys
import time
import urllib.request
from decimal import Decimal

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

TURNS = 3

# What it is for, and its text: the same for both.
QUERIES = [
    ("KPI series of a month, hourly", """
        select window_end, value, ci_low, ci_high, n from kpi_current
        where kpi = 'csat' and window_name = '1h' and grouping_set = ''
          and window_end > timestamp '2026-11-01' and window_end <= timestamp '2026-12-01' order by window_end"""),
    ("newest value of each department", """
        select department, value, n from kpi_latest
        where kpi = 'csat' and window_name = 'month' and grouping_set = 'department' order by department"""),
    ("top movers, month on month", """
        select department, window_end, value - before as change from (
          select department, window_end, value,
            lag(value) over (partition by department order by window_end) as before
          from kpi_current where kpi = 'csat' and window_name = 'month' and grouping_set = 'department') moved
        where before is not null order by abs(value - before) desc, department, window_end limit 10"""),
    ("restatements by KPI and window", """
        select kpi, window_name, count(*) as rows, sum(case when revision > 1 then 1 else 0 end) as restated
        from kpis group by kpi, window_name order by kpi, window_name"""),
    ("Pareto of complaints", """
        select category, total, cast(sum(total) over (order by total desc, category) as bigint) as running from (
          select category, count(*) as total from events where kind = 'complaint_opened' group by category) counted
        order by total desc, category"""),
    ("drill-down to events", """
        select event_time, event_id, kind, score, channel from events
        where department = 'Repair' and kind = 'rating' and event_time >= timestamp '2026-12-10'
          and event_time < timestamp '2026-12-11' order by event_time, event_id limit 100"""),
    ("one event by its id", """
        select event_time, kind, department, score from events where event_id = 'e-1-1000000'
        order by event_time"""),
    ("answers by item", """
        select item, value, count(*) as answers from event_answers group by item, value order by item, value"""),
    ("rejects by reason", """
        select reason, count(*) as records from rejects group by reason order by reason"""),
    ("month by month", """
        select date_trunc('month', event_time) as month, kind, count(*) as events
        from events group by 1, 2 order by 1, 2"""),
    ("weighted scores by scale and channel", """
        select scale, channel, sum(score * weight) / sum(weight) as mean, count(*) as n from events
        where kind = 'rating' group by scale, channel order by scale, channel"""),
    ("sales by region and product", """
        select region, product, sum(units) as units, sum(amount) as amount from events
        where kind = 'sale' group by region, product order by region, product"""),
    ("hours of the day", """
        select extract(hour from event_time) as hour, department, count(*) as events from events
        group by 1, 2 order by 1, 2"""),
    ("distinct cases by department", """
        select department, count(distinct case_id) as cases from events where kind = 'complaint_opened'
        group by department order by department"""),
    ("share of low scores", """
        select department, count(*) filter (where score <= 2) as low, count(*) as n from events
        where scale = '1-5' and score is not null group by department order by department"""),
]

KEY = "kpi, window_name, grouping_set, department, channel"


def connected(lake):
    """DuckDB with the views of docs/sql.md over the active files."""
    duck = duckdb.connect()
    duck.execute("set enable_progress_bar = false")
    duck.execute("set TimeZone = 'UTC'")
    for table in ("records", "kpis"):
        files = DeltaTable(f"{lake}/{table}").file_uris()
        duck.execute(f"create view {table}_files as select * from read_parquet({files}, hive_partitioning = true)")
    duck.execute("create view events as select * from records_files where outcome = 'accepted'")
    duck.execute("create view rejects as select reject_reason as reason, * from records_files where outcome = 'rejected'")
    duck.execute("""create view event_answers as select e.key as item, e.value as value from (
        select unnest(map_entries(answers)) as e from records_files
        where outcome = 'accepted' and answers is not null)""")
    duck.execute("create view kpis as select * from kpis_files")
    same = " and ".join(f"r.{name} is not distinct from k.{name}" for name in KEY.split(", "))
    duck.execute(f"""create view kpi_current as select k.* from kpis_files as k
        join (select kpi, arg_max(fingerprint, computed_at) as fingerprint from kpis_files group by kpi) as a
          on a.kpi = k.kpi and a.fingerprint = k.fingerprint
        where k.reason <> 'withdrawn' and not exists (select 1 from kpis_files as r where r.revision > 1
          and r.revision > k.revision and r.window_end = k.window_end and r.fingerprint = k.fingerprint and {same})""")
    duck.execute(f"create view kpi_latest as select distinct on ({KEY}) * from kpi_current order by {KEY}, window_end desc")
    return duck


def served(port, sql):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/sql", json.dumps({"query": sql}).encode(), {
        "content-type": "application/json", "accept": "application/vnd.apache.arrow.stream"})
    with urllib.request.urlopen(request) as reply:
        return pa.ipc.open_stream(io.BytesIO(reply.read())).read_all()


def plain(value):
    """A value without what two engines may write differently: type of number, zone of a time."""
    if isinstance(value, (Decimal, float)):
        return f"{float(value):.9g}"
    if hasattr(value, "timestamp"):
        return str(value.replace(tzinfo=None))
    return str(value)


def rows(table):
    return [tuple(plain(value) for value in row.values()) for row in table.to_pylist()]


def timed(ask):
    times = []
    for _ in range(TURNS):
        started = time.monotonic()
        table = ask()
        times.append(time.monotonic() - started)
    return table, statistics.median(times)


def main():
    port, lake = sys.argv[1:]
    duck = connected(lake)
    different = []
    print("| query | rows | Satisflow, ms | DuckDB, ms | ratio |\n|---|---|---|---|---|")
    for name, sql in QUERIES:
        ours, own = timed(lambda: served(port, sql))
        theirs, other = timed(lambda: duck.sql(sql).fetch_arrow_table())
        if rows(ours) != rows(theirs):
            different.append((name, [pair for pair in zip(rows(ours), rows(theirs)) if pair[0] != pair[1]][:3]))
        print(f"| {name} | {ours.num_rows} | {own * 1e3:.0f} | {other * 1e3:.0f} | {own / other:.2f} |", flush=True)
    if different:
        sys.exit(f"results differ: {different}")


main()
