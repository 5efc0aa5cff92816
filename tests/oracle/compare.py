"""Compares published KPI rows with the oracle, to the last digit.

    compare.py truth.jsonl kpis.csv

kpis.csv has the columns kpi, window_name, grouping_set, channel, department, region,
window_end, value, numerator, denominator, n, sum_w, sum_wx, sum_w2, sum_w2x, sum_w2x2
of the view kpi_current.
"""

import csv
import sys

import oracle

DECIMALS = {
    "value": 12,
    "numerator": 10,
    "denominator": 10,
    "n": 0,
    "sum_w": 6,
    "sum_wx": 10,
    "sum_w2": 12,
    "sum_w2x": 16,
    "sum_w2x2": 20,
}


def published(rows):
    """The rows of the CSV in the oracle's form."""
    found = {}
    for row in rows:
        names = row["grouping_set"].split(",") if row["grouping_set"] else []
        group = tuple(row[name] for name in names)
        key = (row["kpi"], row["window_name"], row["grouping_set"], group, oracle.micros(row["window_end"]))
        assert key not in found, f"{key} is there twice"
        columns = ((row[name], decimals) for name, decimals in DECIMALS.items())
        found[key] = tuple(oracle.scaled(text, decimals) if text else None for text, decimals in columns)
    return found


def main():
    oracle.decimal.getcontext().prec = 100
    with open(sys.argv[1], encoding="utf-8") as lines:
        expected = oracle.table(oracle.load(lines))
    with open(sys.argv[2], encoding="utf-8", newline="") as table:
        found = published(csv.DictReader(table))
    different = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    for key in different[:20]:
        print(*key, "expected", expected.get(key), "published", found.get(key))
    print(f"{len(expected)} rows expected, {len(found)} published, {len(different)} differences")
    sys.exit(1 if different or not expected else 0)


if __name__ == "__main__":
    main()
