"""Golden numbers of sellers' ratings."""

import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import (
    DAY, SHANGHAI, Calendar, Measure, Rolling, beside_others, counting_by, kinds, main, moment_of, one,
)


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


def order(event):
    return event.get("order_id")


def join(events, void):
    sold = counting_by(events, void, ["sale"], order)
    for event in events:
        event["sold"] = [sale["time"] for sale in sold.get(order(event), [])]


def hours(event):
    if event["kind"] != "refund":
        return None
    # Ten-thousandths of an hour, cut off.
    return Fraction((event["time"] - event["sold"][0]) // timedelta(microseconds=360000), 10000) if event["sold"] else 0


both = [["rating_dimension", "seller"], ["rating_dimension"]]
six_months = {"six_months": Calendar(1, last=6)}
days = {"30d": Rolling(30 * DAY, DAY)}
month = {"month": Calendar(1)}
orders = first_of("sale", "order_id")
refunds = ("ratio", first_of("refund", "order_id"), orders)
complaints = ("ratio", first_of("complaint_opened", "case_id"), orders)
disputes = ("ratio", first_of("complaint_escalated_external", "case_id"), orders)
refund_hours = ("mean", Measure(hours, lambda event: int(bool(event["sold"])), first_per=order))
main(
    dimensions=["rating_dimension", "seller"],
    windows={**month, **six_months, **days, "180d": Rolling(180 * DAY, DAY)},
    series=[
        (both, {"seller_rating": ("mean", Measure(timely, one, first_per=buyer_and_month, n=3))}, ["month", "six_months", "180d"]),
        (both, {"uncapped_rating": ("mean", Measure(timely, one))}, ["month"]),
        ([[], ["seller"]], {
            "refund_rate": refunds,
            "seller_complaint_rate": complaints,
            "dispute_rate": disputes,
            "refund_hours": refund_hours,
        }, ["30d"]),
        ([["seller"]], {
            "refund_rate_gap": beside_others(refunds),
            "complaint_rate_gap": beside_others(complaints),
            "dispute_rate_gap": beside_others(disputes),
            "refund_hours_gap": beside_others(refund_hours),
        }, ["30d"]),
    ],
    derive=lambda event: {"seller": event.get("store")},
    join=join,
)
