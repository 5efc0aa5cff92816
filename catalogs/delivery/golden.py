"""Golden numbers of deliveries and returns."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, moment_of, one


def at(event, field):
    return moment_of(event[field]) if field in event else None


def due(event):
    return event["kind"] == "delivery" and event["time"] == at(event, "promised_at")


def on_time(event):
    delivered = at(event, "delivered_at")
    return int(delivered is not None and delivered <= at(event, "promised_at")) if due(event) else None


def undelivered(event):
    return 1 if due(event) and "delivered_at" not in event else None


def units(kind):
    return Measure(lambda event: event.get("units") if event["kind"] == kind else None, one)


def of_order(event):
    return event.get("order_id")


main(
    dimensions=["product", "region"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["region"], ["product"]], {
            "on_time_share": ("share", Measure(on_time, one, first_per=of_order)),
            "overdue_count": ("count", Measure(undelivered, one, first_per=of_order)),
            "return_rate": ("ratio", units("return"), units("sale")),
        }),
    ],
)
