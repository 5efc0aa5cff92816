"""Golden numbers of failures before and after a change."""

import sys
from datetime import datetime
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, All, Measure, change, main, minus, one, p_of_fall

CHANGED = datetime(2026, 7, 1, tzinfo=SHANGHAI)


def rate(counts):
    failures = Measure(lambda e: 1 if e["kind"] == "service_failure" and counts(e["time"]) else None, one)
    shipments = Measure(lambda e: e["units"] if e["kind"] == "output" and counts(e["time"]) else None, one)
    return "ratio", failures, shipments, 1000


before, after = rate(lambda time: time < CHANGED), rate(lambda time: time >= CHANGED)
main(
    dimensions=["department"],
    windows={"all": All()},
    series=[
        ([[], ["department"]], {
            "rate_before": before,
            "rate_after": after,
            "rate_gap": minus(after, before),
            "rate_change": change(after, before),
            "rate_fall_p": p_of_fall(after, before),
        }),
    ],
)
