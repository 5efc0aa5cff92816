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

from estimates import Sums

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
ROLLING = {
    "5m": (300 * SECOND, 60 * SECOND),
    "1h": (3600 * SECOND, 300 * SECOND),
    "7d": (7 * DAY, 3600 * SECOND),
    "180d": (180 * DAY, DAY),
}
CALENDAR = ["day", "week", "month", "quarter", "half_year", "year"]
SETS = [(), ("department",), ("channel", "department"), ("region",), ("product",), ("segment",)]
# Sets of satisfaction alone.
OF_CSAT = [("product",), ("segment",)]
SCALES = {"1-5": (1, 5), "1-7": (1, 7), "1-10": (1, 10), "0-10": (0, 10), "0-100": (0, 100)}
KINDS = {"csat": "mean", "dissatisfied_share": "share", "response_count": "count", "complaint_rate": "ratio"}
NOTHING = Sums(0, 0, 0, 0, 0, 0, 0, 0)
# Sums have many more digits than the default context keeps.
EXACT = decimal.Context(prec=100, traps=[decimal.InvalidOperation, decimal.Inexact])

Part = collections.namedtuple("Part", "time groups sums")
Row = collections.namedtuple("Row", "figures status sums")
Settings = collections.namedtuple("Settings", "zone groups_max n_min")


def settings(zone="Asia/Shanghai", groups_max=10_000, n_min=30):
    """What of the catalog may differ; the defaults are those of catalogs/core."""
    return Settings(zoneinfo.ZoneInfo(zone), groups_max, {kpi: n_min for kpi in KINDS} | {"response_count": 0})


def micros(text):
    """Microseconds since the epoch of an RFC 3339 time."""
    delta = datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def scaled(value, decimals):
    """The integer of a decimal number at a scale."""
    number = EXACT.scaleb(EXACT.create_decimal(str(value)), decimals)
    if number != number.to_integral_value():
        raise ValueError(f"{value} has more than {decimals} decimals")
    return int(number)


def csat(event):
    """Score on 0 to 100, 4 decimals, half up; None without a score."""
    score = event.get("score")
    score = event.get("overall") if score is None else score
    if score is None:
        return None
    low, high = SCALES[event["scale"]]
    numerator, denominator = (scaled(score, 4) - low * 10_000) * 100, high - low
    return (2 * numerator + denominator) // (2 * denominator)


def voided(event):
    """Identities that an event retracts or supersedes: of its own source."""
    targets = (event.get(field) for field in ("retracts", "supersedes"))
    return [(event["source"], target) for target in targets if target is not None]


def accepted(lines):
    """Accepted events with their place, time and identity: the pair of source and id."""
    for line in lines:
        truth = json.loads(line, parse_float=decimal.Decimal)
        if truth["class"] == "accepted":
            event = truth["event"]
            event["place"] = (truth["topic"], truth["partition"], truth["offset"])
            event["time"] = micros(event["event_time"])
            if event.get("source") is None:
                event["source"] = truth["topic"]
            event["identity"] = (event["source"], event["event_id"])
            yield event


def load(lines):
    """Accepted events with what decides whether they count."""
    events = list(accepted(lines))
    void = {identity for event in events for identity in voided(event)}
    least = {}
    for event in events:
        held = least.setdefault(event["identity"], event["place"])
        least[event["identity"]] = min(held, event["place"])
    for event in events:
        event["counts"] = event["place"] == least[event["identity"]] and event["identity"] not in void
    return events


def groups(event):
    """The group of an event in each grouping set."""
    value = {name: "(none)" if event.get(name) is None else event[name] for names in SETS for name in names}
    return [tuple(value[name] for name in names) for names in SETS]


def trace(event):
    """An event that leaves a row and no value."""
    return Part(event["time"], groups(event), NOTHING)


def measured(event, weight, value):
    """An event with its weight (6 decimals) and value (4 decimals)."""
    moments = (weight * value, weight**2, weight**2 * value, weight**2 * value**2)
    return Part(event["time"], groups(event), Sums(int(weight > 0), 0, weight, *moments, 0))


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
    for event in sorted((e for e in opened if e["counts"]), key=lambda e: (e["time"], e["event_id"], e["source"])):
        first.setdefault(event["case_id"], event["place"])
    for event in opened:
        counts = event["counts"] and first[event["case_id"]] == event["place"]
        yield measured(event, 1_000_000, 10_000) if counts else trace(event)
    for event in events:
        if event["kind"] == "sale":
            units = scaled(event["units"], 4) * 1_000_000
            part = trace(event)
            yield part._replace(sums=NOTHING._replace(base_n=1, base=units)) if event["counts"] else part


def parts(kpi, events):
    """Everything that a KPI selects."""
    if kpi == "complaint_rate":
        return list(complaint_parts(events))
    below = kpi == "dissatisfied_share"
    return list(responses(events, lambda score: 10_000 * (score < 600_000) if below else score))


def period_end(unit, time, zone):
    """End of the civil period around a time: the zone's midnight, however long the day."""
    local = (EPOCH + datetime.timedelta(microseconds=time)).astimezone(zone)
    day = local.date()
    if unit == "day":
        end = day + datetime.timedelta(days=1)
    elif unit == "week":
        end = day + datetime.timedelta(days=7 - day.weekday())
    else:
        months = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}[unit]
        after = day.year * 12 + (day.month - 1) // months * months + months
        end = datetime.date(after // 12, after % 12 + 1, 1)
    midnight = datetime.datetime(end.year, end.month, end.day, tzinfo=zone)
    return micros(midnight.astimezone(datetime.timezone.utc).isoformat())


def ends(window, time, zone):
    """The ends at which an event enters and leaves; None where it stays or is alone."""
    if window in ROLLING:
        length, step = ROLLING[window]
        enter = (time // step + 1) * step
        return enter, enter + length
    if window == "all":
        return (time // DAY + 1) * DAY, None
    return period_end(window, time, zone), None


def runs_on(window):
    """Whether a window's content goes over into that of the next end."""
    return window in ROLLING or window == "all"


def add(sums, more, sign=1):
    """Adds to sums, or takes away."""
    return Sums(*(total + sign * value for total, value in zip(sums, more)))


def rows_of(window, parts_of_kpi, which, closed, zone):
    """(group, end, sums of the window that ends there), each group's ends ascending."""
    changes = collections.defaultdict(lambda: collections.defaultdict(lambda: NOTHING))
    for part in parts_of_kpi:
        by_end = changes[part.groups[which]]
        enter, leave = ends(window, part.time, zone)
        by_end[enter] = add(by_end[enter], part.sums)
        if leave is not None:
            by_end[leave] = add(by_end[leave], part.sums, -1)
    last = ends(window, closed, zone)[0]
    for group, by_end in changes.items():
        sums = NOTHING
        for end in sorted(end for end in by_end if end <= last):
            sums = add(sums, by_end[end]) if runs_on(window) else by_end[end]
            yield group, end, sums


def is_empty(sums):
    """Whether nothing is counted: no event with a weight."""
    return sums.n == 0 and sums.base_n == 0


def ends_over_limit(window, rows, groups_max):
    """Ends of windows with content of more groups than the limit, also of groups without a row there."""
    changes = collections.Counter()
    filled = set()
    for group, end, sums in rows:
        changes[end] += (not is_empty(sums)) - (group in filled)
        if runs_on(window):
            (filled.discard if is_empty(sums) else filled.add)(group)
    count, over = 0, set()
    for end in sorted(changes):
        count = changes[end] + (count if runs_on(window) else 0)
        if count > groups_max:
            over.add(end)
    return over


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
        "count": (n * one, one, n),
        "ratio": (wx, base, base_n),
    }.get(KINDS[kpi], (wx, w * 10_000, n))
    value = half_even(numerator, denominator) if denominator else None
    return (value, numerator, denominator, count, w, wx, ww, wwx, wwxx)


def status_of(sums, finer_is_over, n, n_min):
    """The first that applies. A closed input leaves no row incomplete."""
    if is_empty(sums):
        return "stale"
    if finer_is_over:
        return "over_limit"
    return "insufficient" if n < n_min else "ok"


def rows_of_window(kpi, window, selected, closed, chosen):
    """(grouping set, group, end) and row of everything that is published of a window."""
    sets = {which: names for which, names in enumerate(SETS) if kpi == "csat" or names not in OF_CSAT}
    of_sets = {which: list(rows_of(window, selected, which, closed, chosen.zone)) for which in sets}
    over = {which: ends_over_limit(window, rows, chosen.groups_max) for which, rows in of_sets.items()}
    for which, names in sets.items():
        finer = [over[other] for other, more in sets.items() if set(names) < set(more)]
        for group, end, sums in of_sets[which]:
            if end in over[which]:
                continue
            columns = figures(kpi, sums)
            status = status_of(sums, any(end in ends for ends in finer), columns[3], chosen.n_min[kpi])
            yield (",".join(names), group, end), Row(columns, status, sums)


def table(events, chosen=settings()):
    """Every row: (kpi, window, grouping set, group, end) to its figures, status and sums."""
    closed = max(event["time"] for event in events)
    found = {}
    for kpi in KINDS:
        selected = parts(kpi, events)
        for window in [*ROLLING, *CALENDAR, "all"]:
            for key, row in rows_of_window(kpi, window, selected, closed, chosen):
                found[kpi, window, *key] = row
    return found
