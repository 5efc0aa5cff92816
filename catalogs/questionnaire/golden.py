"""Golden numbers of questions with labels of their own."""

import csv
import sys
import unicodedata
from datetime import datetime
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.append(str(Path(__file__).parent.parent))
from exact_rows import SHANGHAI, All, Calendar, Measure, events_of, one, rows

# The Traditional characters of the sample.
SIMPLIFIED = str.maketrans("滿準時熱", "满准时热")
JULY = datetime(2026, 7, 1, tzinfo=SHANGHAI)
PRODUCT = ["非常满意", "满意", "一般", "不满意", "非常不满意"]
DELIVERY = ["非常准时", "准时", "一般", "不准时", "非常不准时"]
SERVICE = ["非常热情", "热情", "一般", "冷淡", "非常冷淡"]
SERVICE_OF_JULY = ["很热情", "热情", "一般", "不热情", "很不热情"]


def exploded(events, void):
    """Every event, and an event of each answer, with the ids that are void."""
    every, gone = list(events), set(void)
    for event in events:
        for item, answer in event.get("answers", {}).items():
            one_answer = {**event, "event_id": f"{event['event_id']}\x1f{item}", "question": item, "answer": answer}
            every.append(one_answer)
            gone |= {one_answer["event_id"]} if event["event_id"] in void else set()
    return every, gone


def level(event):
    """5 to 1; 0 for no label; None where no question of the questionnaire is answered."""
    service = SERVICE if event["time"] < JULY else SERVICE_OF_JULY
    labels = {"product": PRODUCT, "delivery": DELIVERY, "service": service}.get(event.get("question"))
    if labels is None or event.get("instrument") != "questionnaire":
        return None
    answer = unicodedata.normalize("NFKC", event["answer"]).translate(SIMPLIFIED).strip()
    return 5 - labels.index(answer) if answer in labels else 0


def on_scale(value):
    return Measure(lambda event: value(level(event)) if level(event) else None)


def main():
    windows = {"month": Calendar(1), "all": All()}
    kpis = {
        "question_level": ("mean", on_scale(lambda level: level)),
        "question_score": ("mean", on_scale(lambda level: (level - 1) * 25)),
        "question_good_share": ("share", on_scale(lambda level: int(level >= 4))),
        "unknown_label_count": ("count", Measure(lambda event: 1 if level(event) == 0 else None, one)),
    }
    dimensions = ["department", "question"]
    sets = [[], ["question"], ["department"], ["department", "question"]]
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["kpi", "window_name", "grouping_set", *dimensions, "window_end", "value", "n"])
    events, void = exploded(*events_of(Path(sys.argv[0]).parent))
    out.writerows(sorted(rows(events, void, dimensions, sets, windows, kpis)))


main()
