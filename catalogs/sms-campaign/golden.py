"""Golden numbers of the campaign by text message."""

import sys
import unicodedata
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one

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
            "sms_invalid_count": ("count", invalid),
            "sms_feedback_count": ("count", feedback),
        }),
    ],
)
