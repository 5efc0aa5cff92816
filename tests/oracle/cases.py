"""Truth lines of events that the tests of the oracle and of the comparer share."""

import json


def line(offset, class_="accepted", partition=0, topic="t", **event):
    """A line of the generator's truth."""
    return json.dumps({"class": class_, "topic": topic, "partition": partition, "offset": offset, "event": event})


def rating(offset, identity, time, score, partition=0, topic="t", **more):
    """A rating on the scale 1-5."""
    event = {"event_id": identity, "kind": "rating", "event_time": time, "score": score, "scale": "1-5"}
    return line(offset, partition=partition, topic=topic, **event, **more)
