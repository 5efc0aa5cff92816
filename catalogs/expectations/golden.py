"""Golden numbers of expected and perceived."""

import sys
import unicodedata
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main

SCORES = {str(score): score for score in range(1, 11)}


def answer(event, item):
    found = event.get("answers", {}).get(item)
    return SCORES.get(unicodedata.normalize("NFKC", str(found)).strip())


def gap(event):
    both = [answer(event, item) for item in ("perceived", "expected")]
    return None if None in both else both[0] - both[1]


def share(condition):
    return Measure(lambda event: None if gap(event) is None else int(condition(gap(event))))


main(
    dimensions=["product"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["product"]], {
            "expectation_gap": ("mean", Measure(gap)),
            "exceeded_share": ("share", share(lambda gap: gap > 0)),
            "missed_share": ("share", share(lambda gap: gap < 0)),
        }),
    ],
)
