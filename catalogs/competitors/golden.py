"""Golden numbers of ourselves beside our competitors."""

import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, Rolling, main, minus, one, rank, rank_of_gap


def scored(kind):
    return Measure(lambda event: Fraction(100 * (event["score"] - 1), 4) if event["kind"] == kind else None)


IMPORTANCE = {"service": Fraction(4, 10), "quality": Fraction(3, 10), "price": Fraction(2, 10)}


def importance(event):
    scores = event["kind"] in ("rating", "competitor_score")
    return IMPORTANCE.get(event.get("rating_dimension"), Fraction(1, 10)) if scores else None


weight = ("mean", Measure(importance, one))
own, theirs = ("mean", scored("rating")), ("mean", scored("competitor_score"))
main(
    dimensions=["rating_dimension"],
    windows={"month": Calendar(1), "90d": Rolling(timedelta(days=90), timedelta(days=30))},
    series=[
        ([[], ["rating_dimension"]], {
            "own_score": own,
            "competitor_score": theirs,
            "competitor_gap": minus(own, theirs),
        }),
        ([["rating_dimension"]], {
            "own_rank": rank(own, "low"),
            "importance": weight,
            "gap_rank": rank_of_gap(own, theirs, weight, "low"),
        }),
    ],
)
