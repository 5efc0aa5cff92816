"""Golden numbers of needs."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one, weighted_ranks

NEEDS = {"functional", "performance", "safety", "experience", "price"}


def judged(name, event):
    found = event.get("attributes", {}).get(name)
    try:
        return Fraction(found)
    except (TypeError, ValueError):
        return None


def of_need(value):
    return lambda event: value(event) if event["kind"] == "feedback_text" and event.get("category") in NEEDS else None


def grade(name):
    def read(event):
        found = judged(name, event)
        return found if found is not None and 1 <= found <= 10 else None

    return Measure(of_need(read))


def money(name):
    def read(event):
        both = [judged("benefit", event), judged("cost", event)]
        return None if None in both else judged(name, event)

    return Measure(of_need(read), one)


other = Measure(lambda e: 1 if e["kind"] == "feedback_text" and e.get("category") not in NEEDS else None, one)
importance, urgency = ("mean", grade("importance")), ("mean", grade("urgency"))
benefit = ("ratio", money("benefit"), money("cost"))
main(
    dimensions=["need", "product"],
    windows={"month": Calendar(1), "quarter": Calendar(3), "all": All()},
    series=[
        ([[], ["need"], ["product"]], {
            "need_count": ("count", Measure(of_need(one), one)),
            "unsorted_count": ("count", other),
            "need_importance": importance,
            "need_urgency": urgency,
            "benefit_per_cost": benefit,
        }),
        ([["need"]], {
            "need_priority": weighted_ranks(
                (importance, Fraction(5, 10), "high"),
                (urgency, Fraction(3, 10), "high"),
                (benefit, Fraction(2, 10), "high"),
            ),
        }),
    ],
    derive=lambda event: {"need": event.get("category")},
)
