"""Golden numbers of ladders."""

import sys
import unicodedata
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, main, one

# The Traditional characters of the sample.
SIMPLIFIED = str.maketrans("滿較", "满较")
SEVEN = ["非常满意", "满意", "比较满意", "一般", "不太满意", "不满意", "非常不满意"]
FIVE = ["很满意", "满意", "一般", "不满意", "很不满意"]


def text(event, item):
    found = event.get("answers", {}).get(item)
    return None if found is None else unicodedata.normalize("NFKC", str(found)).translate(SIMPLIFIED).strip()


def step(event, item, labels):
    found = text(event, item)
    return len(labels) - labels.index(found) if found in labels else None


def whole(event, item, least, most):
    found = text(event, item)
    return {str(number): number for number in range(least, most + 1)}.get(found)


def percent(event):
    found = text(event, "percent")
    number = None if found is None else Fraction(found)
    fits = number is not None and 0 <= number <= 100 and (number * 10**4).denominator == 1
    return number if fits else None


def effort(event):
    return whole(event, "effort", 1, 7)


def recommended(event):
    found = whole(event, "recommend", 0, 10)
    return None if found is None else int(found >= 9) - int(found <= 6)


READ = {
    "seven": lambda event: step(event, "seven", SEVEN),
    "five": lambda event: step(event, "five", FIVE),
    "effort": effort,
    "recommend": recommended,
    "percent": percent,
}


def ladder(item, inferred):
    def read(event):
        flagged = event.get("attributes", {}).get("inferred") == "true"
        return READ[item](event) if flagged is inferred else None

    return Measure(read, one)


def off_scale(event):
    given = event.get("answers", {})
    return 1 if any(item in given and read(event) is None for item, read in READ.items()) else None


main(
    dimensions=["channel"],
    windows={"month": Calendar(1), "all": All()},
    series=[
        ([[], ["channel"]], {
            "seven_level_mean": ("mean", ladder("seven", False)),
            "seven_level_inferred_mean": ("mean", ladder("seven", True)),
            "five_level_mean": ("mean", ladder("five", False)),
            "five_level_inferred_mean": ("mean", ladder("five", True)),
            "effort_mean": ("mean", Measure(effort, one)),
            "recommendation_balance": ("balance", Measure(recommended, one)),
            "reached_share": (
                "share",
                Measure(lambda e: None if percent(e) is None else int(percent(e) >= 80), one),
            ),
            "off_scale_count": ("count", Measure(off_scale, one)),
        }),
    ],
)
