"""Golden numbers of training."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, main, one, quotient


def of(kind, field):
    return lambda event: event.get(field) if event["kind"] == kind else None


trainees = (
    "distinct",
    Measure(lambda e: 1 if e["kind"] == "training" else None, one, distinct=lambda e: e.get("employee")),
)
headcount = ("mean", Measure(of("headcount", "headcount"), one))
main(
    dimensions=["department"],
    windows={"month": Calendar(1), "quarter": Calendar(3), "year": Calendar(12)},
    series=[
        ([[], ["department"]], {
            "trainee_count": trainees,
            "training_hour_sum": ("sum", Measure(of("training", "hours"), one)),
        }),
        ([["department"]], {"average_headcount": headcount, "trained_share": quotient(trainees, headcount)}),
    ],
)
