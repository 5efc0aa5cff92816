"""Golden numbers of satisfaction beside its base line."""

import sys
from datetime import datetime
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, Calendar, Measure, main

# From when on, for the department Pilot, for the others; the newest first.
LINES = [
    (datetime(2026, 7, 1, tzinfo=SHANGHAI), 70, 80),
    (datetime(2026, 4, 1, tzinfo=SHANGHAI), 65, 75),
]


def score(event):
    given = event.get("score", event.get("overall")) if event["kind"] in ("rating", "survey_response") else None
    if given is None:
        return None
    least, most = map(int, event["scale"].split("-"))
    return Fraction(100 * (given - least), most - least)


def line(event):
    if score(event) is None:
        return None
    for start, pilot, others in LINES:
        if event["time"] >= start:
            return pilot if event.get("department") == "Pilot" else others
    return 70


main(
    dimensions=["department"],
    windows={"week": Calendar("week"), "month": Calendar(1)},
    series=[
        ([[], ["department"]], {
            "line_csat": ("mean", Measure(score)),
            "base_line": ("mean", Measure(line)),
            "above_base_line": ("mean", Measure(lambda e: None if score(e) is None else score(e) - line(e))),
        }),
    ],
)
