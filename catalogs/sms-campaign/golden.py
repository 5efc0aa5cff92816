"""Golden numbers of the campaign by text message."""

import sys
import unicodedata
from datetime import timedelta
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, All, Calendar, Measure, counting_by, main, one

VALID = {str(score): score for score in range(1, 11)}


def at(event, port):
    return event["kind"] == "inbound_sms" and event["port"] == port


def score(event):
    return VALID.get(unicodedata.normalize("NFKC", event["text"]).strip(" ")) if at(event, "10086800") else None


def customer_and_campaign(event):
    return (event["customer"], event["campaign"]) if "customer" in event and "campaign" in event else None


def reply(value, solicited=True):
    def read(event):
        found = score(event)
        return None if found is None or event.get("solicited", True) is not solicited else value(found)

    return Measure(read, one, last_per=customer_and_campaign)


def customer(event):
    return event.get("customer")


def join(events, void):
    """Whether a score answers an invitation that is open."""
    invited = counting_by(events, void, ["survey_invited"], customer)
    texts = counting_by(events, void, ["inbound_sms"], customer)
    for event in events:
        ago = [event["time"] - e["time"] for e in invited.get(customer(event), [])]
        open_since = min((age for age in ago if timedelta(0) <= age <= 7 * DAY), default=None)
        before = [event["time"] - e["time"] for e in texts.get(customer(event), []) if score(e) is not None]
        last = min((age for age in before if timedelta(seconds=1) <= age <= 7 * DAY), default=None)
        event["answers"] = open_since is not None and (last is None or last >= open_since)


answers = Measure(
    lambda e: None if score(e) is None else score(e) if e["answers"] else 0, lambda e: int(e["answers"])
)
opt_ins = Measure(lambda e: int(not e["answers"]) if score(e) == 10 else None, one)
invalid = Measure(lambda e: 1 if at(e, "10086800") and score(e) is None else None, one)
feedback = Measure(lambda e: 1 if at(e, "10086900") else None, one)
main(
    dimensions=["campaign", "region"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["campaign"], ["region"]], {
            "sms_mean": ("mean", reply(int)),
            "sms_unsolicited_mean": ("mean", reply(int, solicited=False)),
            "sms_satisfied_share": ("share", reply(lambda score: int(score >= 8))),
            "sms_ten_share": ("share", reply(lambda score: int(score == 10))),
            "sms_nine_share": ("share", reply(lambda score: int(score == 9))),
            "sms_eight_share": ("share", reply(lambda score: int(score == 8))),
            "sms_dissatisfied_share": ("share", reply(lambda score: int(score <= 7))),
            "sms_answer_mean": ("mean", answers),
            "sms_opt_in_count": ("sum", opt_ins),
            "sms_invalid_count": ("count", invalid),
            "sms_feedback_count": ("count", feedback),
        }),
    ],
    join=join,
)
