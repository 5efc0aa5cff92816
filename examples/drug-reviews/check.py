"""Compares the published rows with exact rationals computed from the data itself.

    python3 check.py reviews.jsonl kpis.csv

kpis.csv: satisflow sql --format csv "select kpi, window_name, grouping_set, drug,
condition, window_end, value, n from kpi_current"
"""

import csv
import datetime
import decimal
import fractions
import json
import sys

SCORES = {"positive": 100, "neutral": 50, "negative": 0}
decimal.getcontext().prec = 80


def quarter_end(day):
    """Midnight after the quarter of a day."""
    month = (day.month - 1) // 3 * 3 + 4
    return datetime.date(day.year + (month > 12), month - 12 * (month > 12), 1)


def expected(lines):
    """(kpi, window, set, group, end) to (exact mean, n)."""
    sums = {}
    for line in lines:
        review = json.loads(line)
        day = datetime.datetime.strptime(review["date"], "%B %d, %Y").date()
        score = SCORES[review["rating"]]
        groups = {"": "", "drug": review["drugName"], "condition": review["condition"]}
        for kpi, weight in (("rating_mean", 1), ("rating_mean_useful", review["usefulCount"])):
            for name, group in groups.items():
                for window, end in (("all", None), ("quarter", quarter_end(day))):
                    key = (kpi, window, name, group, end)
                    n, w, wx = sums.get(key, (0, 0, 0))
                    sums[key] = (n + (weight > 0), w + weight, wx + weight * score)
    return {k: (fractions.Fraction(wx, w) if w else None, n) for k, (n, w, wx) in sums.items()}


def rounded(value):
    """12 decimals, half to even; empty without a value."""
    if value is None:
        return ""
    exact = decimal.Decimal(value.numerator) / decimal.Decimal(value.denominator)
    return format(exact.quantize(decimal.Decimal("1e-12"), rounding=decimal.ROUND_HALF_EVEN), "f")


def published(rows):
    """The newest row of `all`, every row of `quarter`."""
    found = {}
    for row in rows:
        group = row[row["grouping_set"]] if row["grouping_set"] else ""
        end = row["window_end"][:10]
        key = (row["kpi"], row["window_name"], row["grouping_set"], group)
        if row["window_name"] == "all":
            newest = found.get(key + (None,), ("", None))
            if end > newest[0]:
                found[key + (None,)] = (end, row)
        else:
            found[key + (datetime.date.fromisoformat(end),)] = (end, row)
    return {key: (row["value"], int(row["n"])) for key, (_, row) in found.items()}


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        wanted = expected(lines)
    with open(sys.argv[2], encoding="utf-8", newline="") as table:
        found = published(csv.DictReader(table))
    wanted = {key: (rounded(value), n) for key, (value, n) in wanted.items()}
    different = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
    for key in sorted(different, key=str)[:20]:
        print(key, "expected", wanted.get(key), "published", found.get(key))
    for kpi in ("rating_mean", "rating_mean_useful"):
        print(kpi, *found.get((kpi, "all", "", "", None), ("missing", 0)))
    print(len(wanted), "rows compared,", len(different), "differences")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
