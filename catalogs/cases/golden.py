"""Golden numbers of cases."""

import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import (
    DAY,
    All,
    Calendar,
    Measure,
    Rolling,
    beside_others,
    counting_by,
    main,
    moment_of,
    shrunk,
    shrunk_rank,
)

MONTH, WEEK = timedelta(days=30), timedelta(days=7)


def case(event):
    return event.get("case_id")


def topic(event):
    if "customer" not in event or "category" not in event:
        return None
    return event["customer"], event["category"]


def join(events, void):
    names = ["acked", "resolved", "reopened", "confirmed"]
    of_case = {name: counting_by(events, void, [f"complaint_{name}"], case) for name in names}
    same = counting_by(events, void, ["complaint_opened"], topic)
    issues = counting_by(events, void, ["complaint_opened"], lambda event: event.get("category"))
    for event in events:
        week = [e for e in issues.get(event.get("category"), []) if timedelta(0) <= event["time"] - e["time"] <= WEEK]
        event["common"] = len({e.get("customer") for e in week} - {None}) >= 3
        for name in names:
            event[name] = [found["time"] for found in of_case[name].get(case(event), [])]
        near = same.get(topic(event), []) if topic(event) else []
        event["same"] = {case(e) for e in near if timedelta(0) <= event["time"] - e["time"] <= MONTH}


def first(kind, value, counts=lambda event: True, reads=lambda event: True):
    """The first event of each case of a kind; one that does not count still takes its place."""
    return Measure(
        lambda e: (value(e) if counts(e) else 0) if e["kind"] == kind and reads(e) else None,
        lambda e: int(counts(e)),
        first_per=case,
    )


def opened(value, **rest):
    return first("complaint_opened", value, **rest)


def seconds_to(name):
    def seconds(event):
        return int((event[name][0] - event["time"]) / timedelta(seconds=1))

    return opened(seconds, counts=lambda event: bool(event[name]))


def until(name):
    return Measure(
        lambda event: 0 if event["kind"] == "complaint_opened" else None,
        lambda event: 1,
        first_per=case,
        until=lambda event: min(event[name], default=None),
    )


def in_time(event):
    return int(bool(event["acked"]) and event["acked"][0] <= moment_of(event["due_at"]))


def effective(event):
    again = [time for time in event["reopened"] if timedelta(0) <= time - event["time"] <= MONTH]
    return int(bool(event["confirmed"]) and not again)


def rated(value):
    return Measure(lambda event: value(event["score"]) if event["kind"] == "rating" else None)


csat = ("mean", rated(lambda score: Fraction(100 * (score - 1), 4)))
top_box = ("share", rated(lambda score: int(score == 5)))
main(
    dimensions=["agent", "category", "department"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All(), "28d": Rolling(28 * DAY, DAY)},
    series=[
        ([[], ["department"]], {
            "resolution_survival_median_seconds": ("survival", until("resolved"), None, 1, Fraction(1, 2)),
            "open_cases": ("open_count", until("resolved")),
            "open_case_age_seconds": ("open_age", until("resolved")),
            "unanswered_cases": ("open_count", until("acked")),
            "unanswered_case_age_seconds": ("open_age", until("acked")),
        }, ["28d"]),
        ([[], ["department"], ["agent"]], {
            "resolution_rate": ("share", opened(lambda event: int(bool(event["resolved"])))),
            "resolution_median_seconds": ("quantile", seconds_to("resolved"), None, 1, Fraction(1, 2)),
            "first_answer_median_seconds": ("quantile", seconds_to("acked"), None, 1, Fraction(1, 2)),
            "first_answer_p90_seconds": ("quantile", seconds_to("acked"), None, 1, Fraction(9, 10)),
            "answered_in_time_share": ("share", opened(in_time, reads=lambda event: "due_at" in event)),
            "repeated_share": ("share", opened(lambda event: int(len(event["same"]) > 1))),
            "reopen_rate": ("share", first("complaint_resolved", lambda event: int(bool(event["reopened"])))),
            "effective_share": ("share", first("complaint_resolved", effective)),
        }, ["week", "month", "all"]),
        ([[], ["category"]], {
            "common_issue_share": ("share", opened(lambda e: int(e["common"]), reads=lambda e: "category" in e)),
        }, ["week", "month", "all"]),
        ([[], ["agent"]], {"agent_csat": csat, "top_box_share": top_box}, ["month", "all"]),
        ([["agent"]], {
            "agent_score": shrunk(csat, 20),
            "agent_rank": shrunk_rank(csat, 20),
            "top_box_gap": beside_others(top_box),
        }, ["month", "all"]),
    ],
    join=join,
)
