"""Golden numbers of processes."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, Calendar, Measure, Rolling, main, total_share

# Target and weight.
PROCESSES = {"ordering": (85, "0.2"), "delivery": (90, "0.5"), "billing": (80, "0.3")}


def of(shares):
    """The targets of who has these shares in processes."""
    return {p: (PROCESSES[p][0], Fraction(PROCESSES[p][1]) * Fraction(share)) for p, share in shares.items()}


def score(event):
    return event["score"] if event["kind"] == "rating" and event["scale"] == "0-100" else None


def process(event):
    return (event.get("process"),)


def customer_and_process(event):
    both = (event.get("customer"), event.get("process"))
    return None if None in both else both


def short(shares, **chosen):
    return Measure(score, strata=process, targets=of(shares), **chosen)


LOGISTICS = {"ordering": "0.1", "delivery": "0.7"}
every = short({"ordering": 1, "delivery": 1, "billing": 1})
main(
    dimensions=["process", "region"],
    windows={"month": Calendar(1), "28d": Rolling(28 * DAY, DAY)},
    series=[
        ([[], ["process"], ["process", "region"]], {"process_score": ("mean", Measure(score))}),
        ([[], ["region"]], {
            "process_gap": ("shortfall", every),
            "sales_gap": ("shortfall", short({"ordering": "0.9", "delivery": "0.3", "billing": "0.35"})),
            "logistics_gap": ("shortfall", short(LOGISTICS)),
            "finance_gap": ("shortfall", short({"billing": "0.65"})),
            "process_ratings": ("count", every),
        }),
        ([["region"]], {"process_rating_share": total_share(("count", every))}),
        ([[], ["region"]], {
            "logistics_gap_lately": (
                "shortfall", short(LOGISTICS, last_per=customer_and_process, half_life=7)
            ),
        }, ["28d"]),
    ],
)
