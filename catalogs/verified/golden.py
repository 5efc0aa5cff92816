"""Golden numbers of verified responses."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, counting_by, main


def join(events, void):
    def verdict_of(event):
        known = event.get("identity_verified") is True and event.get("verdict") in ("valid", "fake")
        return event["response_id"] if known else None

    def within(field):
        def key(event):
            value = field(event)
            return None if value is None else (event.get("campaign") or "", value)

        return key

    contact, device = within(lambda event: event.get("customer")), within(lambda event: event.get("device"))
    verdicts = counting_by(events, void, ["response_verified"], verdict_of)
    contacts, devices = (counting_by(events, void, ["survey_response"], key) for key in (contact, device))
    for event in events:
        found = verdicts.get(event["event_id"])
        event["found"] = found[-1]["verdict"] if found else None
        event["repeated"] = len(contacts.get(contact(event), [])) > 1 or len(devices.get(device(event), [])) > 1


def response(value, counts=lambda event: True):
    """Every response leaves its trace, and weighs something only where it counts."""
    return Measure(
        lambda event: (value(event) if counts(event) else 0) if event["kind"] == "survey_response" else None,
        lambda event: int(counts(event)),
    )


def valid(event):
    return event.get("contact_present") is True and event["found"] != "fake"


def scored(event):
    return event["kind"] == "survey_response" and "overall" in event


score = Measure(lambda e: (e["overall"] if valid(e) else 0) if scored(e) else None, lambda e: int(valid(e)))
main(
    dimensions=["campaign", "interviewer"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["interviewer"], ["campaign"]], {
            "verified_share": ("share", response(lambda event: int(event["found"] is not None))),
            "fake_rate": ("share", response(lambda e: int(e["found"] == "fake"), lambda e: e["found"] is not None)),
            "valid_share": ("share", response(lambda event: int(valid(event)))),
            "valid_mean": ("mean", score),
            "interview_pay": ("sum", response(lambda event: 5, lambda event: event["found"] == "valid")),
            "suspect_share": ("share", response(lambda e: int(e["repeated"] or e.get("proxy") == "true"))),
        }),
    ],
    join=join,
)
