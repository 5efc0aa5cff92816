"""Golden numbers of interview-times."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, Calendar, Measure, Rolling, main, moment_of, one


def seconds(event):
    """Whole seconds; None without both times, or if it ended before it began."""
    if event["kind"] != "survey_response" or "started_at" not in event or "submitted_at" not in event:
        return None
    took = (moment_of(event["submitted_at"]) - moment_of(event["started_at"])) / (DAY / 86400)
    return int(took) if took >= 0 else None


def two_digits(event):
    took = seconds(event)
    unit = 10 ** max(len(str(took)) - 2, 0)
    return None if took is None else (took + unit // 2) // unit * unit


def keys(field):
    answered = lambda event: 1 if event["kind"] == "survey_response" else None
    return ("distinct", Measure(answered, one, distinct=lambda event: event.get(field)))


duration = Measure(seconds, one)
main(
    dimensions=["department", "interviewer"],
    windows={"7d": Rolling(7 * DAY, DAY), "week": Calendar("week"), "month": Calendar(1)},
    series=[
        ([[], ["department"], ["department", "interviewer"]], {
            "interview_median_seconds": ("quantile", duration, None, 1, Fraction(1, 2)),
            "interview_p90_seconds": ("quantile", duration, None, 1, Fraction(9, 10)),
            "interview_p99_seconds": ("quantile", Measure(two_digits, one), None, 1, Fraction(99, 100)),
            "customers_reached": keys("customer"),
        }),
        ([[], ["department"]], {"interviewers_working": keys("interviewer")}),
    ],
)
