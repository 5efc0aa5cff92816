"""Golden numbers of complaints."""

import sys
import unicodedata
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, kinds, main, one, rank, rank_change, total_share, vital_few

# The Traditional characters of the sample.
SIMPLIFIED = str.maketrans("產質務", "产质务")


def score(event):
    least, most = map(int, event["scale"].split("-")) if "scale" in event else (None, None)
    given = event.get("score", event.get("overall"))
    return None if given is None else Fraction(100 * (given - least), most - least)


def voice(event):
    if event["kind"] == "complaint_opened":
        return 1
    found = score(event) if event["kind"] in ("rating", "survey_response") else None
    return 1 if found is not None and found < 60 else None


def silent(event):
    return None if event.get("reply_requested", False) else voice(event)


def issue(event):
    return 1 if kinds("complaint_opened", "feedback_text")(event) and "category" in event else None


def case_or_event(event):
    return ("case", event["case_id"]) if "case_id" in event else ("event", event["event_id"])


def folded(event):
    return unicodedata.normalize("NFKC", event["category"]).translate(SIMPLIFIED).strip() if "category" in event else None


issues = ("count", Measure(issue, one, first_per=case_or_event))
main(
    dimensions=["category", "department"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["category"], ["department"]], {
            "voiced_count": ("count", Measure(voice, one, first_per=case_or_event)),
            "silent_count": ("count", Measure(silent, one, first_per=case_or_event)),
            "issue_count": issues,
        }),
        ([["category"]], {
            "issue_rank": rank(issues),
            "issue_share": total_share(issues),
            "issue_vital": vital_few(issues),
        }),
        ([["category"]], {"issue_rank_change": rank_change(issues)}, ["month"]),
    ],
    derive=lambda event: {"category": folded(event)} if "category" in event else {},
)
