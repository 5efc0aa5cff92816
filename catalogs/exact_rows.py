"""Golden numbers of a pack, from its sample of events alone.

Exact fractions and nothing of Satisflow: what a pack's golden.py prints is what
its catalog has to give. Times of the samples lie in 2026, where Shanghai is UTC+8.
"""

import csv
import json
import sys
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal
from fractions import Fraction
from math import comb
from pathlib import Path
from statistics import NormalDist

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

    def every(self, time):
        """Each end from the first to that at which it has left."""
        return [self.enter(time) + age * self.step for age in range(self.length // self.step + 1)]

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
    """A period of the calendar: `day`, `week`, or a number of months; or the `last` few of them."""

    def __init__(self, unit, zone=SHANGHAI, last=1):
        self.unit, self.zone, self.last = unit, zone, last

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
        found = [self.enter(time)]
        while len(found) < self.last:
            found.append(self.enter(found[-1]))
        return found

    def holds(self, time, end):
        return end in self.ends(time)


class Later:
    """The ends of a calendar's windows so many periods later: what was `ago` periods before each of them."""

    def __init__(self, window, ago):
        self.window, self.ago = window, ago

    def ends(self, time):
        found = self.window.ends(time)
        for _ in range(self.ago):
            found = [self.window.enter(end) for end in found]
        return found

    def holds(self, time, end):
        return end in self.ends(time)


class Measure:
    """`value(event)` and `weight(event)`; None is not read. Of each key's events the first (last) `n` count.

    `distinct(event)` is what is counted distinct; None is not read.

    Means speak for a population: `strata(event)` are its categories, one a margin, and `margins` how many are in
    each; None, or a category that is not there, is not read. After `half_life` steps an event weighs half.
    What lasts goes on until `until(event)`, None for what still does.
    A shortfall holds the one category of each against `targets`: its target, and what a point below it weighs.
    """

    def __init__(
        self,
        value,
        weight=lambda event: Fraction(event.get("weight", 1)),
        first_per=None,
        last_per=None,
        n=1,
        distinct=None,
        strata=None,
        margins=(),
        half_life=None,
        targets=None,
        until=None,
    ):
        self.value, self.weight = value, weight
        self.key, self.last, self.n = first_per or last_per, last_per is not None, n
        self.distinct = distinct
        self.strata, self.margins, self.half_life = strata, [targets] if targets else margins, half_life
        self.targets, self.until = targets, until

    def cell(self, event):
        """The categories of an event; None outside of the population."""
        cell = self.strata(event)
        inside = cell is not None and all(category in of for category, of in zip(cell, self.margins))
        return cell if inside else None

    def read(self, events, void):
        """Event, value and weight; no weight where it only leaves a trace."""
        found = [(event, self.value(event)) for event in events]
        found = [(event, Fraction(value)) for event, value in found if value is not None]
        for key in filter(None, (self.key, self.distinct, self.strata and self.cell)):
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


def counting_by(events, void, names, key):
    """Events of some kinds that count, by key, in the order of their times and ids."""
    found = {}
    for event in sorted(events, key=lambda event: (event["time"], event["event_id"])):
        if event["kind"] in names and event["event_id"] not in void and key(event) is not None:
            found.setdefault(key(event), []).append(event)
    return found


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
# of a quantile the share of all weight that it reaches; whose measures' events leave rows and nothing else.
Kpi = namedtuple("Kpi", "kind measure base per at also", defaults=(None, 1, None, ()))


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


def fading(age, half_life):
    """What age leaves of a weight, both in steps: 12 decimals."""
    exact = Context(prec=60)
    left = exact.power(Decimal(2), exact.divide(Decimal(-age), Decimal(half_life)))
    return Fraction(round(Fraction(left) * 10**12), 10**12)


def raked(masses, margins):
    """What each cell stands for, in 10^-18: one margin after the other, rounded down; None out of reach."""
    whole = 10**18
    total = sum(masses.values())
    shares = {cell: mass * whole // total for cell, mass in masses.items()} if total else {}
    for _ in range(1000):
        worst = 0
        for place, counts in enumerate(margins):
            targets = {category: count * whole // sum(counts.values()) for category, count in counts.items()}
            sums = {name: sum(share for cell, share in shares.items() if cell[place] == name) for name in counts}
            if not all(sums.values()):
                return None
            worst = max(worst, *(abs(sums[name] - targets[name]) for name in counts))
            shares = {cell: share * targets[cell[place]] // sums[cell[place]] for cell, share in shares.items()}
        if worst <= 10**6:
            return shares
    return None


def faded_cells(measure, window, end, held):
    """Weights, and weighted values, of each stratum at an end."""
    cells = {}
    for event, value, weight, _ in held:
        if not weight:
            continue
        age = (end - window.enter(event["time"])) // window.step if measure.half_life else 0
        weight = weight * fading(age, measure.half_life) if measure.half_life else weight
        cell = measure.cell(event) if measure.strata else ()
        below, total = cells.get(cell, (0, 0))
        cells[cell] = (below + weight, total + weight * value)
    return cells


def lacking(measure, window, end, held):
    """What the means of strata lack to their targets, each by its weight; None if one is empty."""
    cells = faded_cells(measure, window, end, held)
    if any((category,) not in cells for category in measure.targets):
        return None
    means = {category: cells[(category,)][1] / cells[(category,)][0] for category in measure.targets}
    return sum(weight * max(0, goal - means[category]) for category, (goal, weight) in measure.targets.items())


def represented(measure, window, end, held):
    """The mean of a window's events, each stratum with its share of the population; None if one is empty."""
    cells = faded_cells(measure, window, end, held)
    if not measure.margins:
        shares = {cell: 1 for cell in cells}
    elif len(measure.margins) == 1:
        shares = {(category,): count for category, count in measure.margins[0].items()}
    else:
        shares = raked({cell: below for cell, (below, _) in cells.items()}, measure.margins)
    if not shares or not set(shares) <= set(cells):
        return None
    means = (share * cells[cell][1] / cells[cell][0] for cell, share in shares.items())
    return sum(means) / sum(shares.values())


def seconds(span):
    return Fraction(span // timedelta(microseconds=1), 10**6)


def lasting(kpi, end, held):
    """What the end of a window sees of what began in it: seconds after which a share is over, by the curve of Kaplan
    and Meier; how much goes on; how many seconds it has done so in the mean. None where there is no such thing."""
    over, open_ = [], []
    for event, _, weight, _ in held:
        until = kpi.measure.until(event)
        if weight and until is not None and until < end:
            over.append(seconds(max(until - event["time"], timedelta(0))))
        elif weight:
            open_.append(seconds(end - event["time"]))
    if kpi.kind == "open_count":
        return Fraction(len(open_))
    if kpi.kind == "open_age":
        return sum(open_) / len(open_) if open_ else None
    left = Fraction(1)
    for time in sorted(set(over)):
        at_risk = sum(other >= time for other in over + open_)
        left *= 1 - Fraction(over.count(time), at_risk)
        if left <= 1 - kpi.at:
            return time
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


# What is said of groups side by side: of which KPIs, by which function of them and of the groups, and how many
# periods before each KPI is read.
Compared = namedtuple("Compared", "kpis say lookbacks", defaults=((),))

# A group at an end: the values of the KPIs as rows show them (None of a group that holds nothing),
# n of the first, and what is held of each.
Side = namedtuple("Side", "values n held")


def shown(value):
    """A value with the 12 decimals of a row."""
    return None if value is None else Fraction(round(value * 10**12), 10**12)


def better(best, one, other):
    return one > other if best == "high" else one < other


def places(values, best):
    """From 1; equal values share the least."""
    there = [value for value in values if value is not None]
    return [None if v is None else Fraction(1 + sum(better(best, o, v) for o in there)) for v in values]


def pooled(kpis, sides):
    """The value of all these groups together."""
    return shown(value_of(kpis[0], [entry for side in sides for entry in side.held[0]])[0])


def drawn(kpis, sides, weight, toward):
    """Values shrunk (F24) toward a number, or the value of all groups together."""
    mu = Fraction(toward) if toward is not None else pooled(kpis, sides)
    weight = Fraction(weight)
    return [
        None if side.values[0] is None else shown((weight * mu + side.n * side.values[0]) / (weight + side.n))
        for side in sides
    ]


def firsts(sides):
    return [side.values[0] for side in sides]


def rank(kpi, best="high"):
    return Compared([kpi], lambda kpis, sides: places(firsts(sides), best))


def shrunk(kpi, weight, toward=None):
    return Compared([kpi], lambda kpis, sides: drawn(kpis, sides, weight, toward))


def shrunk_rank(kpi, weight, toward=None, best="high"):
    return Compared([kpi], lambda kpis, sides: places(drawn(kpis, sides, weight, toward), best))


def total_share(kpi):
    def say(_, sides):
        total = sum(value for value in firsts(sides) if value is not None)
        return [value / total if value is not None and total > 0 else None for value in firsts(sides)]

    return Compared([kpi], say)


def cumulated(sides):
    """By group, in the order of names: the values before it from the largest on, and the sum of all."""
    values = firsts(sides)
    order = sorted((-value, at) for at, value in enumerate(values) if value is not None)
    below, found = Fraction(0), [None] * len(values)
    for value, at in order:
        found[at] = below
        below -= value
    return found, below


def cumulative_share(kpi):
    def say(_, sides):
        before, total = cumulated(sides)
        return [
            (b + v) / total if v is not None and total > 0 else None for b, v in zip(before, firsts(sides), strict=True)
        ]

    return Compared([kpi], say)


def vital_few(kpi, share=Fraction(4, 5)):
    def say(_, sides):
        before, total = cumulated(sides)
        return [Fraction(int(b < share * total)) if b is not None and total > 0 else None for b in before]

    return Compared([kpi], say)


def minus(kpi, other):
    def say(_, sides):
        return [None if None in side.values else side.values[0] - side.values[1] for side in sides]

    return Compared([kpi, other], say)


def change(kpi, other):
    def say(_, sides):
        return [
            (side.values[0] - side.values[1]) / side.values[1] if None not in side.values and side.values[1] > 0 else None
            for side in sides
        ]

    return Compared([kpi, other], say)


def quotient(kpi, by):
    def say(_, sides):
        return [
            side.values[0] / side.values[1] if None not in side.values and side.values[1] > 0 else None
            for side in sides
        ]

    return Compared([kpi, by], say)


def sigma(kpi):
    """The level of sigma of defects per million opportunities, with the shift of 1.5, at 6 decimals."""

    def level(value):
        if value is None or not 0 < value < 10**6:
            return None
        return Fraction(f"{NormalDist().inv_cdf(1 - float(value) / 10**6) + 1.5:.6f}")

    return Compared([kpi], lambda _, sides: [level(side.values[0]) for side in sides])


def p_of_fall(kpi, before):
    """Of ratios of counts: how probable so few of all events are after the change, in its part of the exposure."""

    def counted(held):
        return sum(1 for _, _, weight, below in held if not below and weight), sum(
            value * weight for _, value, weight, below in held if below
        )

    def p(side):
        (after, exposure_after), (first, exposure_before) = map(counted, side.held)
        if not exposure_after or not exposure_before:
            return None
        share, n = Fraction(exposure_after, exposure_after + exposure_before), after + first
        exact = sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(after + 1))
        return Fraction(round(exact * 10**6), 10**6)

    return Compared([kpi, before], lambda _, sides: [p(side) for side in sides])


def rank_change(kpi, best="high", ago=1):
    """How many places each group has climbed; those that hold nothing of a period have no place in it."""

    def say(_, sides):
        there = [
            [side.values[at] if any(weight for _, _, weight, _ in side.held[at]) else None for side in sides]
            for at in (0, 1)
        ]
        now, before = (places(values, best) for values in there)
        return [None if b is None or n is None else b - n for n, b in zip(now, before)]

    return Compared([kpi, kpi], say, (0, ago))


def rank_of_gap(kpi, other, times, best="high"):
    def say(_, sides):
        gaps = [
            None if None in side.values else (side.values[0] - side.values[1]) * side.values[2] for side in sides
        ]
        return places(gaps, best)

    return Compared([kpi, other, times], say)


def beside_others(kpi):
    def say(kpis, sides):
        found = []
        for at, side in enumerate(sides):
            others = pooled(kpis, sides[:at] + sides[at + 1 :])
            found.append(None if side.values[0] is None or others is None else side.values[0] - others)
        return found

    return Compared([kpi], say)


def weighted_ranks(*parts):
    """Of KPIs with their weights and which value is the best: 0 for the worst group, 1 for the best."""

    def say(_, sides):
        whole = [side for side in sides if None not in side.values]
        found = []
        for side in sides:
            worse = [
                Fraction(weight) * sum(better(best, side.values[n], o.values[n]) for o in whole)
                for n, (_, weight, best) in enumerate(parts)
                if side in whole
            ]
            found.append(sum(worse) / max(len(whole) - 1, 1) if side in whole else None)
        return found

    return Compared([kpi for kpi, _, _ in parts], say)


def entries_of(events, void, kpi):
    """Event, value, weight and whether it is of the denominator."""
    read = [(e, v, w, False) for e, v, w in kpi.measure.read(events, void)]
    read += [(e, v, w, True) for e, v, w in kpi.base.read(events, void)] if kpi.base else []
    return read + [(e, v, None, True) for other in kpi.also for e, v, _ in other.read(events, void)]


def value_of(kpi, held):
    """Value and n of what is held."""
    over = [(v, w) for _, v, w, below in held if not below]
    under = [(v, w) for _, v, w, below in held if below]
    value, n = figures(kpi.kind, over, under, kpi.per, kpi.at)
    if kpi.kind == "distinct":
        value = Fraction(len({kpi.measure.distinct(e) for e, _, w, _ in held if w}))
    return value, n


def moment(end):
    return end.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def side_by_side(read, compared, groups, views, end):
    """The groups that have a row at an end, by key: those that hold anything or of which anything comes or goes."""
    sides = {}
    for key in sorted(groups):
        of_group = [[entry for entry in entries if entry[4] == key] for entries in read]
        seen = list(zip(of_group, views, strict=True))
        held = [[entry[:4] for entry in entries if view.holds(entry[0]["time"], end)] for entries, view in seen]
        holds = any(weight for entries in held for _, _, weight, _ in entries)
        own = any(end in view.ends(entry[0]["time"]) for entries, view in seen for entry in entries)
        if holds or own:
            found = [value_of(kpi, entries) for kpi, entries in zip(compared.kpis, held, strict=True)]
            values = [shown(value) if holds else None for value, _ in found]
            sides[key] = Side(values, found[0][1], held)
    return sides


def compared_rows(events, void, keyed, windows, grouped, name, compared):
    """Every row of a comparison; `keyed` gives the group of an event."""
    compared = compared._replace(kpis=[Kpi(*kpi) for kpi in compared.kpis])
    read = [[(*entry, keyed(entry[0])) for entry in entries_of(events, void, kpi)] for kpi in compared.kpis]
    groups = {entry[4] for entries in read for entry in entries}
    for window_name, window in windows.items():
        last = max(window.enter(event["time"]) for event in events)
        views = [Later(window, ago) if ago else window for ago in compared.lookbacks or [0] * len(read)]
        seen = {end for entries, view in zip(read, views, strict=True) for e in entries for end in view.ends(e[0]["time"])}
        for end in sorted(end for end in seen if end <= last):
            sides = side_by_side(read, compared, groups, views, end)
            said = compared.say(compared.kpis, list(sides.values()))
            for (key, side), value in zip(sides.items(), said, strict=True):
                yield [name, window_name, ",".join(grouped), *key, moment(end), text(value), side.n]


def rows(events, void, dimensions, sets, windows, kpis):
    """Every row that the catalog has to give."""
    for grouped in sets:

        def keyed(event, grouped=grouped):
            return tuple(str(event.get(d) or "(none)") if d in grouped else "" for d in dimensions)

        for name, definition in kpis.items():
            if isinstance(definition, Compared):
                yield from compared_rows(events, void, keyed, windows, grouped, name, definition)
            else:
                yield from single_rows(events, void, keyed, windows, grouped, name, Kpi(*definition))


def single_rows(events, void, keyed, windows, grouped, name, kpi):
    """Every row of a KPI that looks at one group alone."""
    groups = {}
    for entry in entries_of(events, void, kpi):
        groups.setdefault(keyed(entry[0]), []).append(entry)
    for window_name, window in windows.items():
        last = max(window.enter(event["time"]) for event in events)
        ages = kpi.measure.half_life or (kpi.measure.until and kpi.kind != "count")
        ends = window.every if ages else window.ends
        for key, entries in groups.items():
            for end in {end for e, *_ in entries for end in ends(e["time"]) if end <= last}:
                held = [entry for entry in entries if window.holds(entry[0]["time"], end)]
                value, n = value_of(kpi, held)
                if kpi.measure.until and kpi.kind != "count":
                    value = lasting(kpi, end, held)
                if kpi.kind == "shortfall":
                    value = lacking(kpi.measure, window, end, held)
                if kpi.kind in ("mean", "share", "balance") and (kpi.measure.margins or kpi.measure.half_life):
                    value = represented(kpi.measure, window, end, held)
                    value = 100 * value if kpi.kind == "balance" and value is not None else value
                yield [name, window_name, ",".join(grouped), *key, moment(end), text(value), n]


def main(dimensions, windows, series, derive=None, join=None):
    """Prints the golden numbers of the pack whose program this is; `series` are grouping sets, KPIs, and
    names of their windows where they are not all.

    `derive` gives the dimensions of an event that are none of its fields; `join` puts into each event what
    others say of it.
    """
    events, void = events_of(Path(sys.argv[0]).parent)
    for event in events:
        event.update(derive(event) if derive else {})
    if join:
        join(events, void)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["kpi", "window_name", "grouping_set", *dimensions, "window_end", "value", "n"])
    found = []
    for sets, kpis, *chosen in series:
        of_these = {name: windows[name] for name in (chosen[0] if chosen else windows)}
        found += rows(events, void, dimensions, sets, of_these, kpis)
    out.writerows(sorted(found))
