"""Golden numbers of recommendation."""

import sys
from datetime import timedelta
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, Rolling, main


def of_answer(value):
    def read(event):
        return value(event["overall"]) if event["kind"] == "survey_response" and event.get("scale") == "0-10" else None

    return Measure(read)


main(
    dimensions=["product"],
    windows={"month": Calendar(1), "90d": Rolling(timedelta(days=90), timedelta(days=1)), "all": All()},
    series=[
        ([[], ["product"]], {
            "nps": ("balance", of_answer(lambda answer: int(answer >= 9) - int(answer <= 6))),
            "promoter_share": ("share", of_answer(lambda answer: int(answer >= 9))),
            "detractor_share": ("share", of_answer(lambda answer: int(answer <= 6))),
        }),
    ],
)
