"""Golden numbers of a pack, from its sample of events alone.

Exact fractions and nothing of Satisflow: what a pack's golden.py prints is what
its catalog has to give. Times of the samples lie in 2026, where Shanghai is UTC+8.
"""

import csv
import json
import sys
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

SHANGHAI = timezone(timedelta(hours=8))
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def moment_of(text):
    """A time as events write it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def events_of(folder):
    """Accepted events: the first of each id. Which of them are void."""
    accepted = {}
    for line in (Path(folder) / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line, parse_float=Fraction, parse_int=Fraction)
        event["time"] = moment_of(event["event_time"])
        accepted.setdefault(event["event_id"], event)
    named = {event.get(field) for event in accepted.values() for field in ("retracts", "supersedes")}
    return list(accepted.values()), named - {None}


class Rolling:
    """The last `length`, at each multiple of `step` from the epoch."""

    def __init__(self, length, step):
        self.length, self.step = length, step

    def enter(self, time):
        return EPOCH + ((time - EPOCH) // self.step + 1) * self.step

    def ends(self, time):
        return [self.enter(time), self.enter(time) + self.length]

    def holds(self, time, end):
        return self.enter(time) <= end < self.enter(time) + self.length


class All:
    """Everything, at each UTC midnight."""

    def enter(self, time):
        return EPOCH + ((time - EPOCH) // DAY + 1) * DAY

    def ends(self, time):
        return [self.enter(time)]

    def holds(self, time, end):
        return self.enter(time) <= end


class Calendar:
    """A period of the calendar: `day`, `week`, or a number of months."""

    def __init__(self, unit, zone=SHANGHAI):
        self.unit, self.zone = unit, zone

    def enter(self, time):
        local = time.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.unit == "day":
            return local + DAY
        if self.unit == "week":
            return local + (7 - local.weekday()) * DAY
        months = local.year * 12 + local.month - 1
        after = months - months % self.unit + self.unit
        return local.replace(year=after // 12, month=after % 12 + 1, day=1)

    def ends(self, time):
        return [self.enter(time)]

    def holds(self, time, end):
        return self.enter(time) == end


class Measure:
    """`value(event)` and `weight(event)`; None is not read. Of each key's events the first (last) `n` count.

    `distinct(event)` is what is counted distinct; None is not read.
    """

    def __init__(
        self,
        value,
        weight=lambda event: Fraction(event.get("weight", 1)),
        first_per=None,
        last_per=None,
        n=1,
        distinct=None,
    ):
        self.value, self.weight = value, weight
        self.key, self.last, self.n = first_per or last_per, last_per is not None, n
        self.distinct = distinct

    def read(self, events, void):
        """Event, value and weight; no weight where it only leaves a trace."""
        found = [(event, self.value(event)) for event in events]
        found = [(event, Fraction(value)) for event, value in found if value is not None]
        for key in filter(None, (self.key, self.distinct)):
            found = [(event, value) for event, value in found if key(event) is not None]
        counting = [event for event, _ in found if event["event_id"] not in void]
        if self.key:
            counting = self.few(counting)
        chosen = {event["event_id"] for event in counting}
        return [(e, value, self.weight(e) if e["event_id"] in chosen else None) for e, value in found]

    def few(self, events):
        """The first or last `n` of each key."""
        keys = {}
        for event in sorted(events, key=lambda event: (event["time"], event["event_id"]), reverse=self.last):
            keys.setdefault(self.key(event), []).append(event)
        return [event for of_key in keys.values() for event in of_key[: self.n]]


def index(parts, grades, answers):
    """An index tree of `parts`, item to weight of its path: points at 4 decimals, half up; None below 0.7."""
    given = {item: grades(item, answers[item]) for item in parts if item in answers}
    given = {item: grade for item, grade in given.items() if grade is not None}
    answered = sum(Fraction(parts[item]) for item in given)
    if answered < Fraction(7, 10) * sum(map(Fraction, parts.values())):
        return None
    points = sum(Fraction(parts[item]) * grade for item, grade in given.items()) / answered
    return (points * 10**6 + Fraction(1, 2)) // 1 / Fraction(10**4)


def kinds(*names):
    """Whether an event is of one of some kinds."""
    return lambda event: event["kind"] in names


def text(value):
    """12 decimals, half to even."""
    if value is None:
        return ""
    scaled = round(value * 10**12)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{abs(scaled) // 10**12}.{abs(scaled) % 10**12:012d}"


# Of what kind, over which measure; of a ratio the denominator's measure, and per how many of it;
# of a quantile the share of all weight that it reaches.
Kpi = namedtuple("Kpi", "kind measure base per at", defaults=(None, 1, None))


def one(event):
    """The weight of events that all weigh the same."""
    return 1


def sums(measured):
    """Of values and weights, those that count: their products, weights, and number with a weight above 0."""
    counted = [(value, weight) for value, weight in measured if weight is not None]
    total = sum((value * weight for value, weight in counted), Fraction(0))
    weights = sum((weight for _, weight in counted), Fraction(0))
    return total, weights, sum(1 for _, weight in counted if weight > 0)


def quantile(measured, at):
    """The least value up to which that share of all weight lies; None without weight."""
    counted = sorted((value, weight) for value, weight in measured if weight)
    total, below = sum(weight for _, weight in counted), 0
    for value, weight in counted:
        below += weight
        if below >= at * total:
            return value
    return None


def figures(kind, measured, base, per, at):
    """Value and n of what one window of one group holds."""
    total, below, n = sums(measured)
    if kind == "count":
        return Fraction(n), n
    if kind == "sum":
        return total, n
    if kind == "quantile":
        return quantile(measured, at), n
    if kind == "ratio":
        below, _, n = sums(base)
    if kind == "balance":
        per = 100
    return (per * total / below if below else None), n


def rows(events, void, dimensions, sets, windows, kpis):
    """Every row that the catalog has to give."""
    for kpi, definition in kpis.items():
        kind, measure, base, per, at = Kpi(*definition)
        read = [(e, v, w, False) for e, v, w in measure.read(events, void)]
        read += [(e, v, w, True) for e, v, w in base.read(events, void)] if base else []
        for name, window in windows.items():
            last = max(window.enter(event["time"]) for event in events)
            for grouped in sets:
                groups = {}
                for entry in read:
                    key = tuple(str(entry[0].get(d) or "(none)") if d in grouped else "" for d in dimensions)
                    groups.setdefault(key, []).append(entry)
                for key, entries in groups.items():
                    for end in {end for e, *_ in entries for end in window.ends(e["time"]) if end <= last}:
                        held = [entry for entry in entries if window.holds(entry[0]["time"], end)]
                        over = [(v, w) for _, v, w, below in held if not below]
                        under = [(v, w) for _, v, w, below in held if below]
                        value, n = figures(kind, over, under, per, at)
                        if kind == "distinct":
                            value = Fraction(len({measure.distinct(e) for e, _, w, _ in held if w}))
                        moment = end.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                        yield [kpi, name, ",".join(grouped), *key, moment, text(value), n]


def main(dimensions, windows, series, derive=None):
    """Prints the golden numbers of the pack whose program this is; `series` are grouping sets, KPIs, and
    names of their windows where they are not all.

    `derive` gives the dimensions of an event that are none of its fields.
    """
    events, void = events_of(Path(sys.argv[0]).parent)
    for event in events:
        event.update(derive(event) if derive else {})
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["kpi", "window_name", "grouping_set", *dimensions, "window_end", "value", "n"])
    found = []
    for sets, kpis, *chosen in series:
        of_these = {name: windows[name] for name in (chosen[0] if chosen else windows)}
        found += rows(events, void, dimensions, sets, of_these, kpis)
    out.writerows(sorted(found))
