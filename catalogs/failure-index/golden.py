"""Golden numbers of the weighted failure index."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, cumulative_share, main, one, rank, vital_few

WEIGHTS = {"lost": 10, "damaged": 10, "wrong_day_late": 5, "reopened": 3, "late_pickup": 3, "traces": 3}


def failed(event):
    return event.get("failure_count") if event["kind"] == "service_failure" else None


failures = Measure(failed, one)
points = Measure(failed, lambda event: WEIGHTS.get(event["failure_type"], 1))
shipments = Measure(lambda event: event.get("units") if event["kind"] == "output" else None, one)
index = ("ratio", points, shipments, 1000)
windows = {"month": Calendar(1), "all": All()}
main(
    dimensions=["department", "failure_type"],
    windows=windows,
    series=[
        ([[], ["department"]], {"failure_index": index}),
        ([["department"]], {"failure_rank": rank(index, "low")}),
        ([["failure_type"], [], ["department"]], {"failure_count": ("sum", failures), "failure_points": ("sum", points)}),
        ([["failure_type"]], {
            "points_up_to": cumulative_share(("sum", points)),
            "points_vital": vital_few(("sum", points)),
            "count_up_to": cumulative_share(("sum", failures)),
            "count_vital": vital_few(("sum", failures)),
        }),
    ],
)
