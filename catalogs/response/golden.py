"""Golden numbers of answers to complaints."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, kinds, main, moment_of, one


def in_time(event):
    if "due_at" not in event:
        return None
    return int(event["time"] <= moment_of(event["due_at"]))


def first(kind, value=one):
    """The first event of each case and kind."""
    return Measure(
        lambda event: value(event) if kinds(kind)(event) else None, one, first_per=lambda event: event["case_id"]
    )


BALANCE = {"complaint_opened": 1, "complaint_resolved": -1}
opened, resolved = first("complaint_opened"), first("complaint_resolved")
unresolved = Measure(lambda e: BALANCE.get(e["kind"]), one, first_per=lambda e: (e.get("case_id"), e["kind"]))
main(
    dimensions=["department"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["department"]], {
            "acked_in_time_share": ("share", first("complaint_acked", in_time)),
            "resolved_in_time_share": ("share", first("complaint_resolved", in_time)),
            "resolved_per_opened": ("ratio", resolved, opened),
            "reopened_per_resolved": ("ratio", first("complaint_reopened"), resolved),
        }),
        ([[], ["department"]], {"unresolved_cases": ("sum", unresolved)}, ["all"]),
    ],
)
