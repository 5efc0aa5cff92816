"""Golden numbers of quality."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one


def of(kind, field, times=1):
    return Measure(lambda event: event[field] * times if event["kind"] == kind and field in event else None, one)


main(
    dimensions=["department", "product"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["department"], ["product"]], {
            "defects_per_unit": ("ratio", of("defect", "defects"), of("output", "units")),
            "dpmo": ("ratio", of("defect", "defects"), of("output", "units", 3), 1_000_000),
        }),
    ],
)
