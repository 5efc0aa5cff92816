"""Golden numbers of renewal."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, All, Measure, main, moment_of, one


def of(*kinds, value=one):
    return lambda event: value(event) if event["kind"] in kinds and "due_at" in event else None


def term(event):
    return event["contract_id"], event["due_at"]


def due_month(event):
    if "due_at" not in event:
        return {}
    return {"due_month": moment_of(event["due_at"]).astimezone(SHANGHAI).strftime("%Y-%m")}


opened = of("contract_due", "renewed", "lapsed", value=lambda event: 1 if event["kind"] == "contract_due" else -1)
due, renewed, decided = (
    Measure(of(*kinds), one, first_per=term) for kinds in (["contract_due"], ["renewed"], ["renewed", "lapsed"])
)
main(
    dimensions=["due_month", "product"],
    windows={"all": All()},
    series=[
        ([[], ["due_month"], ["product"], ["due_month", "product"]], {
            "renewal_rate": ("ratio", renewed, due),
            "decided_rate": ("ratio", decided, due),
            "pending_contracts": (
                "sum",
                Measure(opened, one, first_per=lambda event: (*term(event), event["kind"] == "contract_due")),
            ),
        }),
    ],
    derive=due_month,
)
