"""Golden numbers of the satisfaction of employees."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main


def satisfaction(event):
    if event.get("instrument") != "internal" or "overall" not in event:
        return None
    least, most = map(int, event["scale"].split("-"))
    return Fraction(100 * (event["overall"] - least), most - least)


main(
    dimensions=["department", "segment"],
    windows={"month": Calendar(1), "half_year": Calendar(6), "all": All()},
    series=[
        ([[], ["department"], ["segment"]], {
            "employee_csat": ("mean", Measure(satisfaction)),
            "employee_response_count": ("count", Measure(satisfaction)),
        }),
    ],
)
