"""Golden numbers of reviews of bad answers."""

import sys
import unicodedata
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, counting_by, main, one

ITEMS = ("environment", "manners", "speed", "result")
BAD = ("不满意", "非常不满意")
# The Traditional characters of the sample.
SIMPLIFIED = str.maketrans("滿", "满")


def is_bad(label):
    return unicodedata.normalize("NFKC", label).translate(SIMPLIFIED).strip() in BAD


def asked(event):
    return event["kind"] == "survey_response" and event.get("instrument") == "service-quality"


def is_due(event):
    given = event.get("answers", {})
    if any(item in given and is_bad(given[item]) for item in ITEMS):
        return True
    if "overall" not in event:
        return False
    least, most = map(int, event["scale"].split("-"))
    return Fraction(100 * (event["overall"] - least), most - least) < 60


def join(events, void):
    def about(event):
        return event.get("attributes", {}).get("about") if event.get("category") == "review" else None

    opened = counting_by(events, void, ["complaint_opened"], about)
    for event in events:
        event["reviews"] = [review["time"] for review in opened.get(event["event_id"], [])]


def due(value, counts=lambda event: True):
    """Responses that call for a review; what does not count leaves a trace."""
    return Measure(
        lambda e: (value(e) if counts(e) else 0) if asked(e) and is_due(e) else None, lambda e: int(counts(e))
    )


def hours(event):
    return int((event["reviews"][0] - event["time"]) / timedelta(hours=1))


def answers_apart(events):
    """Each answer as an event of its own."""
    for event in events:
        for item, answer in event.get("answers", {}).items() if asked(event) else ():
            yield {**event, "question": item, "answer": answer}


class Bad(Measure):
    """Bad answers, each by itself."""

    def __init__(self):
        super().__init__(lambda e: 1 if is_bad(e["answer"]) else None, one, distinct=lambda e: e["event_id"])

    def read(self, events, void):
        return super().read(list(answers_apart(events)), void)


either = Measure(lambda e: int(is_due(e)) if asked(e) else None, one)
main(
    dimensions=["department", "question"],
    windows={"week": Calendar("week"), "month": Calendar(1)},
    series=[
        ([[], ["department"]], {
            "review_count": ("sum", either),
            "review_share": ("share", either),
            "reviewed_share": ("share", due(lambda e: int(bool(e["reviews"])))),
            "review_median_hours": ("quantile", due(hours, lambda e: bool(e["reviews"])), None, 1, Fraction(1, 2)),
            "bad_item_responses": ("distinct", Bad()),
        }),
        ([[], ["question"], ["department", "question"]], {"bad_item_count": ("count", Bad())}),
    ],
    join=join,
)
