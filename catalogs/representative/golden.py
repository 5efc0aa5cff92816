"""Golden numbers of representative satisfaction."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import DAY, Calendar, Measure, Rolling, kinds, main, one

SEGMENTS = [{"private": 40, "business": 35, "public": 25}]
# In the order of their names.
MARGINS = [{"old": 60, "young": 40}, {"F": 50, "M": 50}]


def of_survey(value, **chosen):
    def read(event):
        asked = event["kind"] == "survey_response" and event.get("scale") == "0-100"
        return value(event["overall"]) if asked else None

    return Measure(read, **chosen)


def score(points):
    return points


def segment(event):
    return (event.get("segment"),)


def age_and_gender(event):
    return (event.get("age"), event.get("gender"))


def invited(event):
    return 1 if kinds("survey_invited")(event) else None


def customer(event):
    return event.get("customer")


segments = {"strata": segment, "margins": SEGMENTS}
both = [[], ["department"]]
main(
    dimensions=["campaign", "department"],
    windows={"month": Calendar(1), "28d": Rolling(28 * DAY, DAY)},
    series=[
        (both, {
            "respondent_score": ("mean", of_survey(score)),
            "customer_score": ("mean", of_survey(score, **segments)),
            "customer_satisfied_share": ("share", of_survey(lambda points: int(points >= 60), **segments)),
            "raked_score": ("mean", of_survey(score, strata=age_and_gender, margins=MARGINS)),
            "respondents": ("count", of_survey(score, **segments)),
        }),
        (both, {
            "recent_score": ("mean", of_survey(score, half_life=7)),
            "recent_customer_score": ("mean", of_survey(score, last_per=customer, half_life=7, **segments)),
        }, ["28d"]),
        ([["campaign"]], {
            "wave_score": (
                "mean", of_survey(score, **segments), None, 1, None, [of_survey(score), Measure(invited, one)],
            ),
        }, ["month"]),
    ],
)
