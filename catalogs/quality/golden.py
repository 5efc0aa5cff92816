"""Golden numbers of quality."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one, sigma


def of(kind, field, times=1, service=False):
    """A field of a kind; of defects those of deliveries, which have an order, or the others."""

    def read(event):
        if event["kind"] != kind or field not in event or ("order_id" in event) is not service:
            return None
        return event[field] * times

    return Measure(read, one)


def delivered(event):
    return 1 if event["kind"] == "delivery" and "delivered_at" in event else None


def order(event):
    return event["order_id"]


dpmo = ("ratio", of("defect", "defects"), of("output", "units", 3), 1_000_000)
main(
    dimensions=["department", "product"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["department"], ["product"]], {
            "defects_per_unit": ("ratio", of("defect", "defects"), of("output", "units")),
            "defective_share": ("ratio", of("defect", "units"), of("output", "units")),
            "defects_per_delivery": (
                "ratio",
                of("defect", "defects", service=True),
                Measure(delivered, one, first_per=order),
            ),
            "dpmo": dpmo,
            "sigma_level": sigma(dpmo),
        }),
    ],
)
