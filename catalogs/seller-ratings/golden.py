"""Golden numbers of sellers' ratings."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, SHANGHAI, Calendar, Measure, Rolling, kinds, main, moment_of, one


def timely(event):
    if event["kind"] != "rating" or event.get("scale") != "1-5" or "completed_at" not in event:
        return None
    return event["score"] if event["time"] <= moment_of(event["completed_at"]) + 15 * DAY else None


def buyer_and_month(event):
    given = [event.get(field) for field in ("customer", "store", "rating_dimension")]
    local = event["time"].astimezone(SHANGHAI)
    return None if None in given else (*given, local.year, local.month)


def first_of(kind, field):
    return Measure(lambda e: 1 if kinds(kind)(e) else None, one, first_per=lambda e: e.get(field))


both = [["rating_dimension", "seller"], ["rating_dimension"]]
days = {"30d": Rolling(30 * DAY, DAY)}
month = {"month": Calendar(1)}
orders = first_of("sale", "order_id")
main(
    dimensions=["rating_dimension", "seller"],
    windows={**month, **days, "180d": Rolling(180 * DAY, DAY)},
    series=[
        (both, {"seller_rating": ("mean", Measure(timely, one, first_per=buyer_and_month, n=3))}, ["month", "180d"]),
        (both, {"uncapped_rating": ("mean", Measure(timely, one))}, ["month"]),
        ([[], ["seller"]], {
            "refund_rate": ("ratio", first_of("refund", "order_id"), orders),
            "seller_complaint_rate": ("ratio", first_of("complaint_opened", "case_id"), orders),
        }, ["30d"]),
    ],
    derive=lambda event: {"seller": event.get("store")},
)
