"""Golden numbers of manifest variables."""

import sys
import unicodedata
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import Calendar, Measure, main, one

LATENT = {"expected": "expectations", "product": "product", "service": "service"}
MANIFEST = {"overall": "总体", "fit": "个性化", "reliability": "可靠性"}
DICTIONARY = {f"{a}_{b}": (LATENT[a], MANIFEST[b]) for a in LATENT for b in MANIFEST}
SCORES = {str(score): score for score in range(1, 11)}


def number(answer):
    """A whole number from 1 to 10, written in any digits."""
    whole, _, rest = unicodedata.normalize("NFKC", str(answer)).strip().partition(".")
    return SCORES.get(whole) if rest.strip("0") == "" else None


class Answers(Measure):
    """Each answer as an event of its own."""

    def read(self, events, void):
        apart = []
        for event in events:
            if event["kind"] == "survey_response" and event.get("instrument") == "manifests":
                for item, answer in event.get("answers", {}).items():
                    latent, manifest = DICTIONARY.get(item, (None, None))
                    said = {"question": item, "latent": latent, "manifest": manifest, "score": number(answer)}
                    apart.append({**event, **said})
        return super().read(apart, void)


def points(event):
    if event["latent"] is None or event["score"] is None:
        return None
    exact = Fraction(100 * (event["score"] - 1), 9)
    return (exact * 10**4 + Fraction(1, 2)) // 1 / Fraction(10**4)


off_scale = Answers(lambda e: None if e["latent"] is None else int(e["score"] is None), one)
main(
    dimensions=["latent", "manifest", "question"],
    windows={"month": Calendar(1), "quarter": Calendar(3)},
    series=[
        ([["manifest"], ["latent", "manifest"]], {
            "manifest_score": ("mean", Answers(points)),
            "off_scale_share": ("share", off_scale),
        }),
        ([[], ["question"]], {
            "unknown_question_count": ("count", Answers(lambda e: 1 if e["latent"] is None else None, one)),
        }),
    ],
)
