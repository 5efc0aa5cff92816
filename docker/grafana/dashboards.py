#!/usr/bin/env python3
"""Writes provisioning/dashboards/*.json, or prints which of them are stale (--check)."""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / "provisioning" / "dashboards"
SQL = {"type": "grafana-postgresql-datasource", "uid": "satisflow"}
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}

# The bounds of docker/catalog.yaml, as colours of Grafana.
CSAT = [(None, "red"), (60, "orange"), (65, "yellow"), (70, "yellow"), (72, "green")]
COMPLAINTS = [(None, "green"), (0.15, "yellow"), (0.2, "red")]
ANY = [(None, "green"), (1, "red")]

SERIES = "from kpi_series where window_name = ${window:sqlstring} and $__timeFilter(window_end)"
TOTAL = f"{SERIES} and grouping_set = ''"
GROUPS = f"{SERIES} and grouping_set = 'department' and department in (${{department:sqlstring}})"
NEWEST = "select distinct on (department) department, value, n, ci_low, ci_high, status, window_end"


def sql(text, shape="table"):
    """A query of Satisflow's SQL; `time_series` wants the columns time, metric and value."""
    return {"datasource": SQL, "rawSql": text, "format": shape, "rawQuery": True, "editorMode": "code"}


def lines(text):
    return sql(text, "time_series")


def prometheus(expression, legend="", instant=False):
    return {
        "datasource": PROMETHEUS, "expr": expression, "legendFormat": legend, "editorMode": "code",
        "instant": instant, "range": not instant, "format": "table" if instant else "time_series",
    }


def panel(kind, title, description, unit, *targets, bounds=((None, "blue"),), width=12, height=8):
    """A panel; the colours of `bounds` begin at their values, and are drawn as lines where time runs."""
    steps = [{"color": colour, "value": value} for value, colour in bounds]
    bounded = len(steps) > 1
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if kind == "timeseries":
        defaults["custom"] = {"thresholdsStyle": {"mode": "dashed" if bounded else "off"}}
    elif kind != "table":
        defaults["color"] = {"mode": "thresholds"}
    options = {} if kind in ("timeseries", "table") else {"reduceOptions": {"calcs": ["lastNotNull"], "values": kind == "bargauge"}}
    return {
        "type": kind, "title": title, "description": description, "datasource": targets[0]["datasource"],
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        "targets": [{"refId": chr(ord("A") + place), **target} for place, target in enumerate(targets)],
        "gridPos": {"w": width, "h": height},
    }


def stat(*arguments, **more):
    return panel("stat", *arguments, **{"width": 6, "height": 5, **more})


def variable(name, label, query, value, many=False, source=SQL):
    current = {"text": ["All"], "value": ["$__all"]} if many else {"text": value, "value": value}
    asked = query if source is SQL else {"query": query, "refId": name}
    return {
        "type": "query", "name": name, "label": label, "datasource": source, "query": asked, "definition": query,
        "current": current, "multi": many, "includeAll": many, "refresh": 2, "sort": 1, "hide": 0, "options": [],
    }


VARIABLES = {
    "kpi": variable("kpi", "KPI", "select distinct kpi from kpi_current order by 1", "csat"),
    "window": variable("window", "Window", "select distinct window_name from kpi_current order by 1", "1h"),
    "department": variable(
        "department", "Department",
        "select distinct department from kpi_current where grouping_set = 'department' order by 1", "", many=True,
    ),
    # What is there before the first alert, too.
    "severity": variable(
        "severity", "Severity",
        "select 'page' as severity union select 'warn' union select alert_severity from alerts order by 1", "", many=True,
    ),
    "kpis": variable("kpi", "KPI", "select distinct kpi from kpi_current order by 1", "", many=True),
    "department_or_total": variable(
        "department", "Department",
        "select 'total' as department union select department from kpi_current where grouping_set = 'department' order by 1",
        "", many=True,
    ),
    "topic": variable("topic", "Topic", "label_values(satisflow_kafka_lag_records, topic)", "", many=True, source=PROMETHEUS),
    "listener": variable(
        "listener", "Listener", "label_values(satisflow_sql_connections, listener)", "", many=True, source=PROMETHEUS,
    ),
}


def place(panels):
    """From left to right, then down."""
    x = y = height = 0
    for number, one in enumerate(panels, 1):
        at = one["gridPos"]
        if x + at["w"] > 24:
            x, y, height = 0, y + height, 0
        one["id"] = number
        at.update(x=x, y=y)
        x, height = x + at["w"], max(height, at["h"])
    return panels


def dashboard(uid, title, variables, *panels):
    return {
        "uid": f"satisflow-{uid}", "title": f"Satisflow: {title}", "tags": ["satisflow"], "schemaVersion": 41,
        "version": 1, "editable": True, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-24h", "to": "now"}, "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "Satisflow", "tags": ["satisflow"], "asDropdown": True,
                   "includeVars": True, "keepTime": True}],
        "templating": {"list": [VARIABLES[name] for name in variables]}, "panels": place(list(panels)),
    }


def overview():
    newest = "order by window_end desc limit 1"
    return dashboard(
        "overview", "overview", ["window"],
        stat("Satisfaction", "Weighted mean satisfaction of the newest closed window, all departments.", "suffix: points",
             sql(f"select value {TOTAL} and kpi = 'csat' {newest}"), bounds=CSAT),
        stat("Complaint rate", "Complaints by first opening per unit sold, newest closed window.", "percentunit",
             sql(f"select value {TOTAL} and kpi = 'complaint_rate' {newest}"), bounds=COMPLAINTS),
        stat("Answers", "Events with a weight above 0 behind the satisfaction of the newest closed window.", "short",
             sql(f"select n {TOTAL} and kpi = 'csat' {newest}")),
        stat("Alerts", "Alerts that fire now.", "short",
             prometheus('count(ALERTS{alertstate="firing"}) or vector(0)', instant=True), bounds=ANY),
        panel("timeseries", "Satisfaction and its 95 % interval", "A fall counts when the intervals no longer overlap.",
              "suffix: points",
              lines(f'select window_end as "time", value, ci_low, ci_high {TOTAL} and kpi = \'csat\' order by 1'),
              bounds=CSAT),
        panel("timeseries", "Complaint rate and its 95 % interval", "Complaints by first opening per unit sold.",
              "percentunit",
              lines(f'select window_end as "time", value, ci_low, ci_high {TOTAL} and kpi = \'complaint_rate\' order by 1'),
              bounds=COMPLAINTS),
        panel("timeseries", "Events by kind", "Accepted events by the time at which they happened, an hour a point.", "short",
              lines("select $__timeGroupAlias(event_time, '1h'), kind as metric, count(*) as value from events "
                    "where $__timeFilter(event_time) group by 1, 2 order by 1")),
        panel("timeseries", "Satisfaction as it comes", "The open window over all that has arrived; it is never kept.",
              "suffix: points",
              prometheus('satisflow_kpi_value{kpi="csat", grouping_set="", state="live", window="$window"}', "{{window}}"),
              bounds=CSAT),
    )


def departments():
    return dashboard(
        "departments", "departments", ["kpi", "window", "department"],
        panel("timeseries", "The KPI by department", "Closed windows. The unit is the KPI's own: see the catalog.", "short",
              lines(f'select window_end as "time", department as metric, value {GROUPS} and kpi = ${{kpi:sqlstring}} order by 1'),
              width=24),
        panel("table", "Newest closed window", "`insufficient`: fewer events than `n_min`; compare intervals, not values.",
              "short", sql(f"{NEWEST} {GROUPS} and kpi = ${{kpi:sqlstring}} order by department, window_end desc")),
        panel("bargauge", "Satisfaction", "Newest closed window of each department.", "suffix: points",
              sql(f"select distinct on (department) department, value {GROUPS} and kpi = 'csat' "
                  "order by department, window_end desc"), bounds=CSAT),
        panel("timeseries", "Events behind the KPI", "Few events make wide intervals.", "short",
              lines(f'select window_end as "time", department as metric, n as value {GROUPS} and kpi = ${{kpi:sqlstring}} order by 1')),
        panel("table", "Restated values", "Values that late events, corrections or retractions changed, newest first.", "short",
              sql("select window_end, department, revision, value, n, reason, computed_at from kpis where revision > 1 "
                  "and kpi = ${kpi:sqlstring} and window_name = ${window:sqlstring} "
                  "and $__timeFilter(window_end) order by computed_at desc limit 100")),
    )


def complaints():
    opened = "from events_distinct where kind = 'complaint_opened' and $__timeFilter(event_time) and department in (${department:sqlstring})"
    return dashboard(
        "complaints", "complaints", ["window", "department"],
        panel("timeseries", "Complaint rate by department", "Complaints by first opening per unit sold, closed windows.",
              "percentunit",
              lines(f'select window_end as "time", department as metric, value {GROUPS} and kpi = \'complaint_rate\' order by 1'),
              bounds=COMPLAINTS),
        panel("timeseries", "Complaints opened", "By department, an hour a point.", "short",
              lines(f"select $__timeGroupAlias(event_time, '1h'), department as metric, count(*) as value {opened} "
                    "group by 1, 2 order by 1")),
        panel("table", "Reasons (Pareto)", "Complaints by category with their cumulative share: the vital few come first.",
              "short",
              sql("select category, complaints, pareto_share(complaints) over (order by complaints desc, category) as "
                  f"cumulative_share from (select category, count(*) as complaints {opened} group by category) c "
                  "order by complaints desc, category")),
        panel("table", "By department and channel", "Where complaints come from, most first.", "short",
              sql(f"select department, channel, count(*) as complaints {opened} group by 1, 2 order by 3 desc limit 50")),
        panel("bargauge", "Hours from opening to resolution", "Median by department of the cases that were resolved.", "h",
              sql("select o.department, approx_percentile_cont(extract(epoch from r.event_time - o.event_time) / 3600, 0.5) "
                  "as hours from events_distinct o join events_distinct r on r.case_id = o.case_id "
                  "where o.kind = 'complaint_opened' and r.kind = 'complaint_resolved' and $__timeFilter(o.event_time) "
                  "and o.department in (${department:sqlstring}) group by 1 order by 1")),
    )


def quality():
    answered = "from events_distinct where kind = 'survey_response' and $__timeFilter(event_time)"
    return dashboard(
        "survey-quality", "survey quality", ["window"],
        stat("Response rate", "Invitations of the time range that were answered.", "percentunit",
             sql("select count(distinct r.invitation_id) / nullif(count(distinct i.invitation_id)::double, 0) as response_rate "
                 "from events_distinct i left join events_distinct r on r.kind = 'survey_response' "
                 "and r.invitation_id = i.invitation_id where i.kind = 'survey_invited' and $__timeFilter(i.event_time)")),
        stat("Median time to answer", "From the start to the submission of a survey; a few seconds are no answer.", "s",
             sql(f"select approx_percentile_cont(extract(epoch from submitted_at - started_at), 0.5) as seconds {answered}")),
        stat("Answers taken back", "Events that correct or retract an earlier one.", "percentunit",
             sql("select count(coalesce(retracts, supersedes)) / nullif(count(*)::double, 0) as share "
                 "from events_distinct where $__timeFilter(event_time)")),
        stat("Without a channel", "Answers that do not say by which channel they came.", "percentunit",
             sql(f"select (count(*) - count(channel)) / nullif(count(*)::double, 0) as share {answered}")),
        panel("timeseries", "Effective sample size", "Share of the events that the weights leave: Kish's n by n. Low: few decide.",
              "percentunit",
              lines(f'select window_end as "time", n_eff / nullif(n, 0)::double as value {TOTAL} and kpi = \'csat\' order by 1')),
        panel("timeseries", "Survey responses by channel", "An hour a point.", "short",
              lines(f"select $__timeGroupAlias(event_time, '1h'), coalesce(channel, 'none') as metric, count(*) as value "
                    f"{answered} group by 1, 2 order by 1")),
        panel("table", "Answers by question", "How often each answer was given: one that nearly all give measures nothing.",
              "short",
              sql("select item, value, count(*) as answers from event_answers where $__timeFilter(event_time) "
                  "group by 1, 2 order by 1, 3 desc limit 200")),
        panel("table", "Windows by status", "`insufficient`: fewer events than `n_min`, by KPI.", "short",
              sql(f"select kpi, status, count(*) as windows {SERIES} group by 1, 2 order by 1, 2")),
    )


def alerts():
    chosen = ("alert_severity in (${severity:sqlstring}) and kpi in (${kpi:sqlstring}) "
              "and coalesce(department, 'total') in (${department:sqlstring})")
    final = 'grouping_set="department", department=~"$department", state="final", window="1h"'
    return dashboard(
        "alerts", "alerts", ["severity", "kpis", "department_or_total"],
        stat("Firing", "Alerts that fire now.", "short",
             prometheus('count(ALERTS{alertstate="firing", severity=~"$severity"}) or vector(0)', instant=True), bounds=ANY),
        stat("Pending", "Alerts whose bound is passed, for less than their `for`.", "short",
             prometheus('count(ALERTS{alertstate="pending", severity=~"$severity"}) or vector(0)', instant=True), bounds=ANY),
        stat("Rules", "Rules that Prometheus evaluates.", "short", prometheus("sum(prometheus_rule_group_rules)", instant=True),
             bounds=[(None, "red"), (1, "green")]),
        stat("Rules that fail", "Evaluations of rules that failed within an hour.", "short",
             prometheus("sum(increase(prometheus_rule_evaluation_failures_total[1h]))", instant=True), bounds=ANY),
        panel("table", "Open alerts with their evidence", "Decided in the service from closed windows; the table is `alerts_open`.",
              "short",
              sql("select alert_opened_end as since, kpi, coalesce(department, 'total') as department, window_name, alert_rule, "
                  "alert_severity, value, n, ci_low, ci_high, alert_threshold, coalesce(cast(alert_p as text), 'a bound') as p, "
                  "coalesce(cast(baseline_value as text), 'a bound') as compared_with from alerts_open "
                  f"where {chosen} order by alert_opened_end desc limit 200"), width=24),
        panel("timeseries", "Open alerts by KPI", "As decided in the service.", "short",
              prometheus('sum by (kpi) (satisflow_alert_active{severity=~"$severity", kpi=~"$kpi"})', "{{kpi}}"), bounds=ANY),
        panel("table", "Changes of alerts", "Newest first: `open`, `update` (restated), `clear`.", "short",
              sql("select window_end, kpi, coalesce(department, 'total') as department, alert_rule, alert_state, alert_cause, "
                  f"value, n from alerts where $__timeFilter(window_end) and {chosen} order by alert_sequence desc limit 100")),
        panel("table", "Alerts now", "Bounds are `alerts` in the catalog, rules are made by `satisflow rules`.", "short",
              prometheus('ALERTS{severity=~"$severity"}', instant=True), width=24),
        panel("timeseries", "Alerts by name", "Pending and firing.", "short",
              prometheus('count by (alertname, alertstate) (ALERTS{severity=~"$severity"})', "{{alertname}} {{alertstate}}"), bounds=ANY),
        panel("timeseries", "Satisfaction that rules look at", "Final windows of an hour, by department, with the bounds of the rules.",
              "suffix: points",
              prometheus(f'satisflow_kpi_value{{kpi="csat", {final}}}', "{{department}}"),
              bounds=CSAT),
        panel("timeseries", "Complaint rate that rules look at", "Final windows of an hour, by department, with the bounds of the rules.",
              "percentunit",
              prometheus(f'satisflow_kpi_value{{kpi="complaint_rate", {final}}}', "{{department}}"), bounds=COMPLAINTS),
        panel("timeseries", "Events that rules look at", "Below `n_min` (30) an alert pages nobody.", "short",
              prometheus(f'satisflow_kpi_samples{{kpi="csat", {final}}}', "{{department}}"), bounds=[(None, "orange"), (30, "green")]),
    )


def pipeline():
    by_outcome = 'sum by (outcome) (rate(satisflow_records_total{topic=~"$topic"}[$__rate_interval]))'
    taken = "$__timeFilter(ingest_time) and topic in (${topic:sqlstring})"
    return dashboard(
        "pipeline", "pipeline health", ["topic", "listener"],
        stat("Processes that publish", "One publishes the KPIs; the others stand by.", "short",
             prometheus("sum(satisflow_kpi_complete)", instant=True), bounds=[(None, "red"), (1, "green")]),
        stat("Newest closed window", "Age of the watermark: windows that ended before it are final.", "s",
             prometheus("time() - max(satisflow_watermark_timestamp_seconds)", instant=True), bounds=[(None, "green"), (900, "red")]),
        stat("Records waiting in Kafka", "Not yet polled.", "short",
             prometheus('sum(satisflow_kafka_lag_records{topic=~"$topic"})', instant=True), bounds=[(None, "green"), (100000, "red")]),
        stat("Audit", "Published rows that differ from what the lake's events make them.", "short",
             prometheus("max(satisflow_audit_differences)", instant=True), bounds=ANY),
        panel("timeseries", "Records by outcome", "Accepted, duplicate, rejected.", "recps", prometheus(by_outcome, "{{outcome}}")),
        panel("timeseries", "Rejected", "Percent of the records of 15 minutes that are no events.", "percent",
              prometheus('100 * sum(increase(satisflow_records_total{outcome="rejected", topic=~"$topic"}[15m])) '
                         '/ sum(increase(satisflow_records_total{topic=~"$topic"}[15m]))', "rejected"), bounds=[(None, "green"), (5, "red")]),
        panel("timeseries", "Lag by topic", "Records not yet polled.", "short",
              prometheus('sum by (topic) (satisflow_kafka_lag_records{topic=~"$topic"})', "{{topic}}"), bounds=[(None, "green"), (100000, "red")]),
        panel("timeseries", "Commits", "95 of 100 commits take no longer.", "s",
              *(prometheus(f"histogram_quantile(0.95, sum by (le) (increase({metric}_bucket[15m])))", legend)
                for metric, legend in [("satisflow_commit_seconds", "records"), ("satisflow_score_commit_seconds", "KPI rows")])),
        panel("timeseries", "Queues", "Rows that wait for their commit, and commits that wait for the scorer.", "short",
              prometheus("sum(satisflow_pending_rows)", "rows"), prometheus("max(satisflow_scorer_queue_commits)", "commits")),
        panel("timeseries", "Memory held for Kafka", "Bytes polled and not yet taken into rows; partitions pause near 64 MiB.",
              "bytes", prometheus("sum(satisflow_kafka_held_bytes)", "bytes"),
              bounds=[(None, "green"), (67108864, "red")]),
        panel("timeseries", "Partitions paused", "1 while rows can't be committed as fast as they come.", "bool",
              prometheus("max(satisflow_kafka_paused)", "paused"), bounds=ANY),
        panel("timeseries", "Restatements", "KPI rows written again because of late events, corrections or retractions.", "short",
              prometheus("sum(increase(satisflow_restatements_total[$__rate_interval]))", "rows")),
        panel("timeseries", "SQL statements", "By what became of them: `refused` would have changed something, or is not published.",
              "reqps", prometheus('sum by (outcome) (rate(satisflow_sql_statements_total{listener=~"$listener"}[$__rate_interval]))',
                                  "{{outcome}}")),
        panel("timeseries", "Duration of SQL statements", "95 of 100 take no longer, until their last row is read.", "s",
              prometheus('histogram_quantile(0.95, sum by (le, listener) '
                         '(increase(satisflow_sql_statement_seconds_bucket{listener=~"$listener"}[15m])))', "{{listener}}"), bounds=[(None, "green"), (60, "red")]),
        panel("timeseries", "SQL connections", "Open ones, and those refused at the limit within 15 minutes.", "short",
              prometheus('sum by (listener) (satisflow_sql_connections{listener=~"$listener"})', "{{listener}}"),
              prometheus('sum(increase(satisflow_sql_connections_refused_total{listener=~"$listener"}[15m]))', "refused"),
              bounds=[(None, "green"), (64, "red")]),
        panel("timeseries", "SQL statements that run", "Planned or run now.", "short",
              prometheus('sum by (listener) (satisflow_sql_statements_running{listener=~"$listener"})', "{{listener}}")),
        panel("timeseries", "Rejects by reason", "By the time they were taken in, 5 minutes a point.", "short",
              lines("select $__timeGroupAlias(ingest_time, '5m'), reason as metric, count(*) as value from rejects "
                    f"where {taken} group by 1, 2 order by 1")),
        panel("timeseries", "Duplicates", "Records that repeat an earlier one, by the time they were taken in.", "short",
              lines("select $__timeGroupAlias(ingest_time, '5m'), topic as metric, count(*) as value from duplicates "
                    f"where {taken} group by 1, 2 order by 1")),
        panel("table", "Newest rejects", "What was wrong, and where it lies. `satisflow rejects replay` takes in what was corrected.",
              "short",
              sql('select ingest_time, reason, field, message, topic, "partition", "offset", raw_bytes from rejects '
                  f"where {taken} order by ingest_time desc limit 100"), width=24),
    )


def main():
    stale = []
    for one in (overview(), departments(), complaints(), quality(), alerts(), pipeline()):
        path = FOLDER / (one["uid"] + ".json")
        text = json.dumps(one, indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"stale, run docker/grafana/dashboards.py: {' '.join(stale)}")


if __name__ == "__main__":
    main()
