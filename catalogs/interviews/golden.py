"""Golden numbers of interviews."""

import sys
from datetime import timedelta
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, moment_of, one


def called_back(event):
    if event["kind"] != "response_verified" or event["verdict"] not in ("valid", "fake", "unreachable"):
        return None
    return int(event["verdict"] == "valid" and event.get("identity_verified") is True)


def fake(event):
    known = event["kind"] == "response_verified" and event.get("identity_verified") is True
    return int(event["verdict"] == "fake") if known and event["verdict"] in ("valid", "fake") else None


def took(event):
    if event["kind"] != "survey_response" or "started_at" not in event or "submitted_at" not in event:
        return None
    return moment_of(event["submitted_at"]) - moment_of(event["started_at"])


def share(condition):
    return Measure(lambda event: None if took(event) is None else int(condition(took(event))), one)


def response(event):
    return event["response_id"]


main(
    dimensions=["interviewer"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["interviewer"]], {
            "callback_count": ("count", Measure(called_back, one, last_per=response)),
            "valid_callback_share": ("share", Measure(called_back, one, last_per=response)),
            "fake_share": ("share", Measure(fake, one, last_per=response)),
            "long_interview_share": ("share", share(lambda time: time > timedelta(seconds=240))),
            "hasty_interview_share": ("share", share(lambda time: time < timedelta(seconds=20))),
        }),
    ],
)
