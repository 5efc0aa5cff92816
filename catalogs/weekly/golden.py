"""Golden numbers of the weeks."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, main, one


def satisfaction(event):
    return Fraction(25) * (event["score"] - 1) if event["kind"] == "rating" else None


def case(event):
    return event["case_id"]


main(
    dimensions=["agent", "category", "department", "store"],
    windows={"week": Calendar("week")},
    series=[
        ([[], ["department"], ["agent", "category", "department", "store"]], {
            "weekly_csat": ("mean", Measure(satisfaction)),
            "weekly_complaint_count": (
                "count",
                Measure(lambda event: 1 if event["kind"] == "complaint_opened" else None, one, first_per=case),
            ),
        }),
    ],
)
