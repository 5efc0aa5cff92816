"""Golden numbers of drivers by layer."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, main, one

WEIGHTS = {"lost": 10, "late_delivery": 5, "missed_scan": 3}


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
        ([[], ["department"]], {
            "results_index": ("ratio", failed(lambda layer: layer == "0", points), shipments, 1000),
            "drivers_index": ("ratio", failed(lambda layer: layer in ("1", "2"), points), shipments, 1000),
        }),
    ],
    derive=lambda event: {"layer": str(event["layer"])} if "layer" in event else {},
)
