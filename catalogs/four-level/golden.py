"""Golden numbers of the four-level scorecard."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, All, Calendar, Measure, counting_by, index, main, one

POINTS = {"fitness": 24, "durability": 16, "punctuality": 15, "completeness": 15, "price": 10, "service": 20}
LEVELS = {"A": Fraction(1), "B": Fraction(4, 5), "C": Fraction(2, 5), "D": Fraction(0)}


def answers(event):
    asked = event["kind"] == "survey_response" and event.get("instrument") == "four-level"
    return event.get("answers") if asked else None


def score(event):
    given = answers(event)
    return None if given is None else index(POINTS, lambda _, level: LEVELS.get(level), given)


def partner(event):
    given = answers(event) or {}
    if any(given.get(item) not in LEVELS for item in POINTS):
        return None
    return int(sum(points * LEVELS[given[item]] for item, points in POINTS.items()) >= 80)


def half_year_of_customer(event):
    local = event["time"].astimezone(SHANGHAI)
    return (event["customer"], local.year, local.month > 6) if "customer" in event else None


def join(events, void):
    def about(event):
        return event.get("attributes", {}).get("about") if event.get("category") == "analysis" else None

    opened = counting_by(events, void, ["complaint_opened"], about)
    for event in events:
        event["analysed"] = event["event_id"] in opened


def is_below(event):
    return partner(event) == 0


below = Measure(lambda e: None if partner(e) is None else 1 - partner(e), one, last_per=half_year_of_customer)
# Each complete scorecard takes its place; only those below count.
analysed = Measure(
    lambda e: None if partner(e) is None else int(is_below(e) and e["analysed"]),
    lambda e: int(is_below(e)),
    last_per=half_year_of_customer,
)
main(
    dimensions=["department", "segment"],
    windows={"month": Calendar(1), "half_year": Calendar(6), "all": All()},
    series=[
        ([[], ["department"], ["segment"]], {
            "scorecard_score": ("mean", Measure(score, last_per=half_year_of_customer)),
            "partner_share": ("share", Measure(partner, last_per=half_year_of_customer)),
            "analysis_count": ("sum", below),
            "analysed_share": ("share", analysed),
        }),
    ],
    join=join,
)
