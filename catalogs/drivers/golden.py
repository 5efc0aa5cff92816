"""Golden numbers of drivers by layer."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, main, one, total_share

WEIGHTS = {"lost": 10, "late_delivery": 5, "missed_scan": 3}
# Driven, driver, share in percent.
EDGES = [
    ("late_delivery", "late_truck", 60),
    ("late_delivery", "missed_scan", 40),
    ("lost", "missed_scan", 70),
    ("lost", "untrained_crew", 30),
    ("late_truck", "untrained_crew", 20),
    ("late_truck", "other", 80),
    ("missed_scan", "untrained_crew", 50),
    ("missed_scan", "other", 50),
]
LAYERS = {"late_delivery": 0, "lost": 0, "late_truck": 1, "missed_scan": 1, "untrained_crew": 2, "other": 2}


def share(driven, driver):
    """Over all ways from the one to the other; 0 where there is none."""
    steps = ((middle, Fraction(percent, 100)) for above, middle, percent in EDGES if above == driven)
    return sum((part * (1 if middle == driver else share(middle, driver)) for middle, part in steps), Fraction(0))


def behind(result):
    def read(event):
        driving = event["kind"] == "service_failure" and share(result, event["failure_type"])
        return event.get("failure_count") if driving else None

    return Measure(read, lambda event: share(result, event["failure_type"]))


def misplaced(event):
    if event["kind"] != "service_failure" or "layer" not in event:
        return None
    return None if event["layer"] == str(LAYERS.get(event["failure_type"])) else 1


def failed(layers, weight):
    def read(event):
        return event.get("failure_count") if event["kind"] == "service_failure" and layers(event.get("layer")) else None

    return Measure(read, weight)


def points(event):
    return WEIGHTS.get(event["failure_type"], 1)


shipments = Measure(lambda event: event.get("units") if event["kind"] == "output" else None, one)
main(
    dimensions=["department", "failure_type", "layer"],
    windows={"week": Calendar("week"), "month": Calendar(1)},
    series=[
        ([["layer"], ["failure_type", "layer"]], {
            "layer_failures": ("sum", failed(lambda layer: layer is not None, one)),
        }),
        ([["failure_type"], ["department", "failure_type"]], {
            "behind_lost_sum": ("sum", behind("lost")),
            "behind_late_delivery_sum": ("sum", behind("late_delivery")),
        }),
        ([["failure_type"]], {
            "lost_attribution": total_share(("sum", behind("lost"))),
            "late_delivery_attribution": total_share(("sum", behind("late_delivery"))),
        }),
        ([[], ["failure_type"]], {"misplaced_count": ("count", Measure(misplaced, one))}),
        ([[], ["department"]], {
            "behind_lost_index": ("ratio", behind("lost"), shipments, 1000),
            "behind_late_delivery_index": ("ratio", behind("late_delivery"), shipments, 1000),
            "results_index": ("ratio", failed(lambda layer: layer == "0", points), shipments, 1000),
            "drivers_index": ("ratio", failed(lambda layer: layer in ("1", "2"), points), shipments, 1000),
        }),
    ],
    derive=lambda event: {"layer": str(event["layer"])} if "layer" in event else {},
)
