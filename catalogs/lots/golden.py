"""Golden numbers of lots."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, counting_by, main, one


def lot(event):
    return event.get("lot_id")


def join(events, void):
    made, found = (counting_by(events, void, [kind], lot) for kind in ("output", "defect"))
    for event in events:
        event["made"] = sum(output["units"] for output in made.get(lot(event), []))
        event["found"] = sum(defect["defects"] for defect in found.get(lot(event), []))


def of_lot(value):
    return Measure(lambda e: value(e) if e["kind"] in ("output", "defect") else None, one, first_per=lot)


attained = of_lot(lambda event: int(event["made"] > 0 and event["found"] == 0))
main(
    dimensions=["department", "product"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["department"], ["product"]], {
            "zero_defect_share": ("share", attained),
            "lot_count": ("count", attained),
            "defects_per_unit_of_lots": (
                "ratio", of_lot(lambda event: event["found"]), of_lot(lambda event: event["made"])
            ),
        }),
    ],
    join=join,
)
