"""Golden numbers of improvements and what came of them."""

import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, All, Calendar, Measure, counting_by, main, minus, one

REACH = 90 * DAY


def project(event):
    return event.get("project_id")


def in_state(event, state):
    return event["kind"] == "improvement_project" and event.get("state") == state


def join(events, void):
    """Of an answer the times at which its department implemented, of a project those at which it reached a state."""
    projects = counting_by(events, void, ["improvement_project"], project)
    departments = counting_by(events, void, ["improvement_project"], lambda event: event.get("department"))
    for event in events:
        of_department = departments.get(event.get("department"), [])
        event["changes"] = [e["time"] for e in of_department if in_state(e, "implemented")]
        for state in ("implemented", "verified"):
            event[state] = [e["time"] for e in projects.get(project(event), []) if in_state(e, state)]


def collected(value, counts=lambda event: True):
    """Projects at their first collection; what does not count still takes its place."""
    return Measure(
        lambda e: (value(e) if counts(e) else 0) if in_state(e, "collected") else None,
        lambda e: int(counts(e)),
        first_per=project,
    )


def days_to_implement(event):
    return int((event["implemented"][0] - event["time"]) / DAY)


def score(event):
    given = event.get("score", event.get("overall"))
    if given is None or "scale" not in event:
        return None
    least, most = map(int, event["scale"].split("-"))
    return Fraction(100 * (given - least), most - least)


def answers(counts):
    """Ratings and responses; those that do not count leave a trace."""

    def weight(event):
        return int(score(event) is not None and counts(event))

    def value(event):
        return (score(event) or 0) if event["kind"] in ("rating", "survey_response") else None

    return Measure(value, weight)


def is_before(event):
    return any(timedelta(0) < change - event["time"] <= REACH for change in event["changes"])


def is_after(event):
    return any(timedelta(0) <= event["time"] - change <= REACH for change in event["changes"])


reached = Measure(
    lambda e: 1 if e["kind"] == "improvement_project" and "state" in e else None,
    one,
    first_per=lambda e: (project(e), e["state"]) if "project_id" in e else None,
)
before, after = ("mean", answers(is_before)), ("mean", answers(is_after))
main(
    dimensions=["department", "state"],
    windows={"month": Calendar(1), "quarter": Calendar(3), "all": All()},
    series=[
        ([["state"], ["department", "state"]], {"projects_reached": ("count", reached)}),
        ([[], ["department"]], {
            "implemented_share": ("share", collected(lambda e: int(bool(e["implemented"])))),
            "verified_share": ("share", collected(lambda e: int(bool(e["verified"])))),
            "implementation_median_days": (
                "quantile",
                collected(days_to_implement, lambda e: bool(e["implemented"])),
                None,
                1,
                Fraction(1, 2),
            ),
        }),
        ([[], ["department"]], {
            "csat_before": before,
            "csat_after": after,
            "csat_gain": minus(after, before),
        }, ["all"]),
    ],
    join=join,
)
