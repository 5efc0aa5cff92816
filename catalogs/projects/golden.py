"""Golden numbers of improvement projects."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, Calendar, Measure, main, one


def project(event):
    return event["project_id"]


def project_and_month(event):
    local = event["time"].astimezone(SHANGHAI)
    return event["project_id"], local.year, local.month


def saved(event):
    return Fraction(event.get("saving", 0)) if event["state"] == "verified" else 0


main(
    dimensions=["currency", "department", "state"],
    windows={"month": Calendar(1), "quarter": Calendar(3)},
    series=[
        ([[], ["state"], ["department", "state"]], {
            "project_count": ("count", Measure(one, one, last_per=project_and_month)),
        }, ["month"]),
        ([["currency"], ["currency", "department"]], {
            "verified_savings": ("sum", Measure(saved, one, last_per=project)),
        }),
    ],
)
