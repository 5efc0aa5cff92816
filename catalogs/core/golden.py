"""Golden numbers of the core KPIs."""

import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, Rolling, kinds, main, one

answered = kinds("rating", "survey_response")
opened, sold = kinds("complaint_opened"), kinds("sale")


def score(event):
    """From 0 to 100 on the event's scale: 4 decimals, half up, as docs/kpi-catalog.md says of `csat_0_100`."""
    given = event.get("score", event.get("overall")) if answered(event) else None
    if given is None or "scale" not in event:
        return None
    least, most = (Fraction(end) for end in event["scale"].split("-"))
    exact = (given - least) * 100 / (most - least)
    return Fraction((exact * 10**4 + Fraction(1, 2)) // 1, 10**4)


def dissatisfied(event):
    return None if score(event) is None else int(score(event) < 60)


satisfaction, poor = Measure(score), Measure(dissatisfied)
complaints = Measure(lambda e: 1 if opened(e) else None, one, first_per=lambda e: e.get("case_id"))
units = Measure(lambda e: e.get("units") if sold(e) else None, one)
hours, days = (lambda n: timedelta(hours=n)), (lambda n: timedelta(days=n))
main(
    dimensions=["channel", "department", "product", "region", "segment"],
    windows={
        "5m": Rolling(timedelta(minutes=5), timedelta(minutes=1)),
        "1h": Rolling(hours(1), timedelta(minutes=5)),
        "7d": Rolling(days(7), hours(1)),
        "180d": Rolling(days(180), days(1)),
        "day": Calendar("day"),
        "week": Calendar("week"),
        "month": Calendar(1),
        "quarter": Calendar(3),
        "half_year": Calendar(6),
        "year": Calendar(12),
        "all": All(),
    },
    series=[
        ([[], ["department"], ["channel", "department"], ["region"], ["product"], ["segment"]], {
            "csat": ("mean", satisfaction),
        }),
        ([[], ["department"], ["channel", "department"], ["region"]], {
            "complaint_rate": ("ratio", complaints, units),
            "response_count": ("count", satisfaction),
            "dissatisfied_share": ("share", poor),
        }),
    ],
)
