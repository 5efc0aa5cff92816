"""The core KPIs from the ground truth, by definition, with exact numbers.

Shares nothing with the program: the input is what the generator says it made, and
the arithmetic is Python's integers. Rows are those that a closed input publishes:
every window end up to the one next after the latest event.
"""

import collections
import datetime
import decimal
import json
import zoneinfo

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ZONE = zoneinfo.ZoneInfo("Asia/Shanghai")
ROLLING = {
    "5m": (300 * SECOND, 60 * SECOND),
    "1h": (3600 * SECOND, 300 * SECOND),
    "7d": (7 * DAY, 3600 * SECOND),
    "180d": (180 * DAY, DAY),
}
CALENDAR = ["day", "week", "month", "quarter", "half_year", "year"]
SETS = [(), ("department",), ("channel", "department"), ("region",)]
SCALES = {"1-5": (1, 5), "1-7": (1, 7), "1-10": (1, 10), "0-10": (0, 10), "0-100": (0, 100)}
KPIS = ["csat", "dissatisfied_share", "response_count", "complaint_rate"]

Part = collections.namedtuple("Part", "time groups n base_n w wx ww wwx wwxx base")


def micros(text):
    """Microseconds since the epoch of an RFC 3339 time."""
    delta = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def scaled(value, decimals):
    """The integer of a decimal number at a scale."""
    number = decimal.Decimal(str(value)).scaleb(decimals)
    assert number == number.to_integral_value(), value
    return int(number)


def csat(event):
    """Score on 0 to 100, 4 decimals, half up; None without a score."""
    score = event.get("score", event.get("overall"))
    if score is None:
        return None
    low, high = SCALES[event["scale"]]
    numerator, denominator = (scaled(score, 4) - low * 10_000) * 100, high - low
    return (2 * numerator + denominator) // (2 * denominator)


def load(lines):
    """Accepted events with what decides whether they count."""
    events = []
    for line in lines:
        truth = json.loads(line, parse_float=decimal.Decimal)
        if truth["class"] == "accepted":
            event = truth["event"]
            event["place"] = (truth["topic"], truth["partition"], truth["offset"])
            event["time"] = micros(event["event_time"])
            events.append(event)
    void = {event[field] for event in events for field in ("retracts", "supersedes") if field in event}
    least = {}
    for event in events:
        held = least.setdefault(event["event_id"], event["place"])
        least[event["event_id"]] = min(held, event["place"])
    for event in events:
        event["counts"] = event["place"] == least[event["event_id"]] and event["event_id"] not in void
    return events


def groups(event):
    """The group of an event in each grouping set."""
    return [tuple(event.get(name, "(none)") for name in names) for names in SETS]


def trace(event):
    """An event that leaves a row and no value."""
    return Part(event["time"], groups(event), 0, 0, 0, 0, 0, 0, 0, 0)


def measured(event, weight, value):
    """An event with its weight (6 decimals) and value (4 decimals)."""
    moments = (weight * value, weight**2, weight**2 * value, weight**2 * value**2)
    return Part(event["time"], groups(event), int(weight > 0), 0, weight, *moments, 0)


def responses(events, value):
    """Parts of ratings and survey responses."""
    for event in events:
        score = csat(event) if event["kind"] in ("rating", "survey_response") else None
        if score is None:
            continue
        yield measured(event, scaled(event.get("weight", 1), 6), value(score)) if event["counts"] else trace(event)


def complaint_parts(events):
    """Parts of complaints by their first opening, and of units sold."""
    opened = [event for event in events if event["kind"] == "complaint_opened"]
    first = {}
    for event in sorted((e for e in opened if e["counts"]), key=lambda e: (e["time"], e["event_id"])):
        first.setdefault(event["case_id"], event["place"])
    for event in opened:
        counts = event["counts"] and first[event["case_id"]] == event["place"]
        yield measured(event, 1_000_000, 10_000) if counts else trace(event)
    for event in events:
        if event["kind"] == "sale":
            units = scaled(event["units"], 4) * 1_000_000
            part = trace(event)
            yield part._replace(base_n=1, base=units) if event["counts"] else part


def parts(kpi, events):
    """Everything that a KPI selects."""
    if kpi == "complaint_rate":
        return list(complaint_parts(events))
    below = kpi == "dissatisfied_share"
    return list(responses(events, lambda score: 10_000 * (score < 600_000) if below else score))


def period_end(unit, time):
    """End of the civil period around a time."""
    local = (EPOCH + datetime.timedelta(microseconds=time)).astimezone(ZONE)
    day = local.date()
    if unit == "day":
        end = day + datetime.timedelta(days=1)
    elif unit == "week":
        end = day + datetime.timedelta(days=7 - day.weekday())
    else:
        months = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}[unit]
        after = day.year * 12 + (day.month - 1) // months * months + months
        end = datetime.date(after // 12, after % 12 + 1, 1)
    return micros(datetime.datetime(end.year, end.month, end.day, tzinfo=ZONE).astimezone(datetime.timezone.utc).isoformat())


def ends(window, time):
    """The ends at which an event enters and leaves; None where it stays or is alone."""
    if window in ROLLING:
        length, step = ROLLING[window]
        enter = (time // step + 1) * step
        return enter, enter + length
    if window == "all":
        return (time // DAY + 1) * DAY, None
    return period_end(window, time), None


def add(sums, part, sign):
    """Adds a part to running sums."""
    return tuple(total + sign * value for total, value in zip(sums, part[2:]))


def rows_of(window, parts_of_kpi, which, closed):
    """(group, end) to the sums of the window that ends there."""
    changes = collections.defaultdict(lambda: collections.defaultdict(lambda: (0,) * 8))
    for part in parts_of_kpi:
        group = part.groups[which]
        enter, leave = ends(window, part.time)
        changes[group][enter] = add(changes[group][enter], part, 1)
        if leave is not None:
            changes[group][leave] = add(changes[group][leave], part, -1)
    last = ends(window, closed)[0]
    runs_on = window in ROLLING or window == "all"
    for group, by_end in changes.items():
        sums = (0,) * 8
        for end in sorted(end for end in by_end if end <= last):
            sums = tuple(map(sum, zip(sums, by_end[end]))) if runs_on else by_end[end]
            yield group, end, sums


def half_even(numerator, denominator):
    """12 decimals of an exact quotient."""
    quotient, rest = divmod(numerator * 10**12, denominator)
    up = 2 * rest > denominator or (2 * rest == denominator and quotient % 2)
    return quotient + int(up)


def figures(kpi, sums):
    """Columns of a row as exact numbers; value None at a zero denominator."""
    n, base_n, w, wx, ww, wwx, wwxx, base = sums
    one = 10**10
    numerator, denominator, count = {
        "response_count": (n * one, one, n),
        "complaint_rate": (wx, base, base_n),
    }.get(kpi, (wx, w * 10_000, n))
    value = half_even(numerator, denominator) if denominator else None
    return (value, numerator, denominator, count, w, wx, ww, wwx, wwxx)


def table(events):
    """Every row: (kpi, window, grouping set, group, end) to its figures."""
    closed = max(event["time"] for event in events)
    found = {}
    for kpi in KPIS:
        selected = parts(kpi, events)
        for window in [*ROLLING, *CALENDAR, "all"]:
            for which, names in enumerate(SETS):
                for group, end, sums in rows_of(window, selected, which, closed):
                    found[kpi, window, ",".join(names), group, end] = figures(kpi, sums)
    return found
