"""Golden numbers of invitations."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, counting_by, main, moment_of, one


def invitation(event):
    return event.get("invitation_id")


def join(events, void):
    answers = counting_by(events, void, ["survey_response"], invitation)
    waves = counting_by(events, void, ["survey_invited"], lambda event: event.get("campaign"))
    for event in events:
        wave = waves.get(event.get("campaign"), [])
        closes = [moment_of(invited["due_at"]) for invited in wave if "due_at" in invited]
        event["off"] = not closes or not wave[0]["time"] <= event["time"] <= max(closes)
        found = answers.get(invitation(event))
        event["answered"] = found[0]["time"] if found else None


def invited(value, reads=lambda event: True):
    def read(event):
        return int(value(event)) if event["kind"] == "survey_invited" and reads(event) else None

    return Measure(read, one, first_per=invitation)


def with_due(value):
    def compared(event):
        return event["answered"] is not None and value(event["answered"], moment_of(event["due_at"]))

    return invited(compared, reads=lambda event: "due_at" in event)


off_window = Measure(lambda event: int(event["off"]) if event["kind"] == "survey_response" else None, one)
main(
    dimensions=["campaign", "channel"],
    windows={"week": Calendar("week"), "month": Calendar(1), "all": All()},
    series=[
        ([[], ["campaign"], ["channel"]], {
            "answered_share": ("share", invited(lambda event: event["answered"] is not None)),
            "answered_in_time_share": ("share", with_due(lambda answered, due: answered <= due)),
            "answered_late_share": ("share", with_due(lambda answered, due: answered > due)),
            "off_window_share": ("share", off_window),
        }),
    ],
    join=join,
)
