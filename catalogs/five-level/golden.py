"""Golden numbers of five-level surveys."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one


def of_level(value):
    def read(event):
        return value(event["overall"]) if event["kind"] == "survey_response" and event.get("scale") == "1-5" else None

    return Measure(read, one)


main(
    dimensions=["department"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["department"]], {
            "level_total": ("sum", of_level(lambda level: level)),
            "level_mean": ("mean", of_level(lambda level: level)),
            "level_score": ("mean", of_level(lambda level: (level - 1) * 25)),
            "top_two_share": ("share", of_level(lambda level: int(level >= 4))),
            "bottom_two_share": ("share", of_level(lambda level: int(level <= 2))),
        }),
    ],
)
