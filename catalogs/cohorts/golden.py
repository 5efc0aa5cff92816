"""Golden numbers of cohorts of orders."""

import sys
from datetime import timedelta
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, All, Calendar, Measure, counting_by, main, one

YEAR = timedelta(days=365)


def join(events, void):
    def order(event):
        return event.get("order_id")

    complaints = counting_by(events, void, ["complaint_opened"], order)
    returns = counting_by(events, void, ["return"], order)
    bought = counting_by(events, void, ["sale"], lambda event: event.get("customer"))
    for event in events:
        event["cases"] = len({found["case_id"] for found in complaints.get(order(event), [])})
        event["back"] = sum(found.get("units", 0) for found in returns.get(order(event), []))
        near = [e for e in bought.get(event.get("customer"), []) if timedelta(0) <= event["time"] - e["time"] <= YEAR]
        event["orders"] = len({order(found) for found in near} - {None})


def sale(value, **per):
    return Measure(lambda event: value(event) if event["kind"] == "sale" else None, one, **per)


def of_order(value):
    return sale(value, first_per=lambda event: event.get("order_id"))


def again(key):
    def value(event):
        return int(event["orders"] >= 2) if event["kind"] == "sale" and "order_id" in event else None

    return Measure(value, one, last_per=key)


def customer_and_month(event):
    if "customer" not in event:
        return None
    return event["customer"], event["time"].astimezone(SHANGHAI).strftime("%Y-%m")


sold = sale(lambda event: event["units"])
SETS = [[], ["product"], ["region"]]
main(
    dimensions=["product", "region"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        (SETS, {
            "complaints_per_sale": ("ratio", of_order(lambda event: event["cases"]), sold),
            "returned_of_sold": ("ratio", of_order(lambda event: event["back"]), sold),
        }),
        (SETS, {"monthly_repurchase_share": ("share", again(customer_and_month))}, ["month"]),
        (SETS, {"repurchase_share": ("share", again(lambda event: event.get("customer")))}, ["all"]),
    ],
    join=join,
)
