"""Golden numbers of the national satisfaction indexes."""

import sys
from fractions import Fraction
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import All, Calendar, Measure, index, main

# Of each instrument and latent variable: weights of the questions, from the top to the leaf.
TREES = {
    "acsi": {
        "satisfaction": {"overall": "0.3885", "expected": "0.3190", "ideal": "0.2925"},
        "expectations": {"expected_overall": "0.5", "expected_fit": "0.25", "expected_reliability": "0.25"},
        "quality": {
            "product_fit": "0.30",
            "product_reliability": "0.30",
            "service_fit": "0.20",
            "service_reliability": "0.20",
        },
        "value": {"price_for_quality": "0.5", "quality_for_price": "0.5"},
        "complaints": {"handling": "1"},
        "loyalty": {"repurchase": "0.6", "price_tolerance": "0.4"},
    },
    "ccsi": {
        "satisfaction": {"overall": "0.4", "expected": "0.3", "ideal": "0.3"},
        "image": {"brand_known": "0.5", "brand_trusted": "0.5"},
        "expectations": {"expected_overall": "0.5", "expected_fit": "0.5"},
        "quality": {
            "product_fit": "0.30",
            "product_reliability": "0.20",
            "service_fit": "0.20",
            "service_reliability": "0.30",
        },
        "value": {"price_for_quality": "0.5", "quality_for_price": "0.5"},
        "loyalty": {"repurchase": "0.5", "recommend": "0.5"},
    },
}


def grade(_, answer):
    """Of an answer from 1 to 10; None outside."""
    return (Fraction(answer) - 1) / 9 if 1 <= Fraction(answer) <= 10 else None


def latent(instrument, questions):
    def read(event):
        if event["kind"] != "survey_response" or event.get("instrument") != instrument:
            return None
        return index(questions, grade, event.get("answers", {}))

    return Measure(read)


main(
    dimensions=["product"],
    windows={"quarter": Calendar(3), "all": All()},
    series=[
        ([[], ["product"]], {
            f"{instrument}_{name}_index": ("mean", latent(instrument, questions))
            for instrument, tree in TREES.items()
            for name, questions in tree.items()
        }),
    ],
)
