"""Golden numbers of channels and waves."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, kinds, main, one


def counted(*names, key=None):
    return Measure(lambda event: 1 if kinds(*names)(event) else None, one, first_per=key)


def field(name):
    return lambda event: event.get(name)


def units(kind):
    return Measure(lambda event: event.get("units") if event["kind"] == kind else None, one)


def satisfaction(event):
    given = event.get("score", event.get("overall")) if kinds("rating", "survey_response")(event) else None
    if given is None:
        return None
    least, most = map(int, event["scale"].split("-"))
    return Fraction(100 * (given - least), most - least)


def answered(event):
    return int("overall" in event) if event["kind"] == "survey_response" else None


invitations = counted("survey_invited", key=field("invitation_id"))
responses = counted("survey_response", key=field("invitation_id"))
main(
    dimensions=["campaign", "channel"],
    windows={"month": Calendar(1), "quarter": Calendar(3), "half_year": Calendar(6), "year": Calendar(12)},
    series=[
        ([[], ["channel"], ["campaign"], ["campaign", "channel"]], {
            "contact_count": (
                "count",
                counted("rating", "survey_response", "inbound_sms", "feedback_text", "complaint_opened"),
            ),
            "invitation_count": ("count", invitations),
            "response_rate": ("ratio", responses, invitations),
            "channel_csat": ("mean", Measure(satisfaction)),
            "item_coverage": ("share", Measure(answered, one)),
        }),
        ([[]], {
            "referral_rate": ("ratio", counted("referral"), counted("sale", key=field("customer"))),
            "market_share": ("ratio", units("sale"), units("market_size")),
        }),
    ],
)
