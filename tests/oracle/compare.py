"""Compares published KPI rows with the oracle, to the last digit.

    compare.py truth.jsonl kpis.csv [--zone ZONE] [--groups-max N] [--n-min N]

kpis.csv is the view kpi_current, in any order of columns. Names and exact figures have
to be there; statistics (relative tolerance 1e-9) and status are compared if they are.
Any further column is a dimension: empty in rows that are not grouped by it.
"""

import argparse
import csv
import math
import sys

import estimates
import oracle

KEY = ["kpi", "window_name", "grouping_set", "window_end"]
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
FLOATS = list(estimates.Estimates._fields)
NOT_COMPARED = ["window_start", "revision", "reason", "fingerprint", "computed_at"]
GROUPED = sorted({name for names in oracle.SETS for name in names})
TOLERANCE = 1e-9
# A bound near zero is the difference of larger numbers: it is only as exact as those are.
CANCELLATION = 1e-14


def dimensions_of(columns):
    """The dimension columns; an error names what is missing."""
    missing = [name for name in [*KEY, *GROUPED, *DECIMALS] if name not in columns]
    if missing:
        raise ValueError(f"the CSV lacks the columns {', '.join(missing)}: add them to the query")
    known = {*KEY, *DECIMALS, *FLOATS, *NOT_COMPARED, "status"}
    return sorted(name for name in columns if name not in known)


def published_key(row, dimensions):
    """What a row is about: every dimension counts, grouped or not."""
    end = oracle.micros(row["window_end"])
    return (row["kpi"], row["window_name"], row["grouping_set"], tuple(row[name] for name in dimensions), end)


def expected_key(key, dimensions):
    """The same for a row of the oracle."""
    kpi, window, names, group, end = key
    values = dict(zip(names.split(","), group)) if names else {}
    return (kpi, window, names, tuple(values.get(name, "") for name in dimensions), end)


def same_decimal(text, number, decimals):
    """Whether a text is exactly this number; empty is None."""
    if text == "" or number is None:
        return text == "" and number is None
    try:
        return oracle.scaled(text, decimals) == number
    except (ValueError, ArithmeticError):
        return False


def same_float(text, number, magnitude):
    """Whether a text is this number within the tolerance; empty is None."""
    if text == "" or number is None:
        return text == "" and number is None
    try:
        return math.isclose(float(text), number, rel_tol=TOLERANCE, abs_tol=CANCELLATION * magnitude)
    except ValueError:
        return False


def exact_differences(row, expected):
    """(column, expected) of the exact figures that differ."""
    for (name, decimals), number in zip(DECIMALS.items(), expected.figures):
        if not same_decimal(row[name], number, decimals):
            yield name, f"{number}e-{decimals}" if number is not None else "NULL"


def statistic_differences(row, expected):
    """(column, expected) of the statistics that differ, and of the status."""
    if any(name in row for name in FLOATS):
        figures = estimates.estimates(oracle.KINDS[row["kpi"]], expected.sums)
        largest = max(abs(figures.ci_low or 0), abs(figures.ci_high or 0))
        for name, number in zip(FLOATS, figures):
            magnitude = largest if name in ("ci_low", "ci_high") else 0
            if name in row and not same_float(row[name], number, magnitude):
                yield name, "NULL" if number is None else repr(number)
    if "status" in row and row["status"] != expected.status:
        yield "status", expected.status


def row_differences(row, expected):
    """A line of text for each column that differs."""
    wrong = [*exact_differences(row, expected), *statistic_differences(row, expected)]
    return [f"{name}: expected {text}, published {row[name] or 'NULL'}" for name, text in wrong]


def differences(table, rows, columns):
    """Lines of text: what the published rows (a dictionary each) have amiss, in the order of their keys."""
    dimensions = dimensions_of(columns)
    missing = {expected_key(key, dimensions): row for key, row in table.items()}
    seen, found = set(), []
    for row in rows:
        key = published_key(row, dimensions)
        if key in seen:
            found.append((key, "is there twice"))
        elif key not in missing:
            found.append((key, "not expected"))
        else:
            found.extend((key, text) for text in row_differences(row, missing.pop(key)))
        seen.add(key)
    found.extend((key, f"missing, status {row.status}") for key, row in missing.items())
    return [f"{kpi} {window} {dict(zip(dimensions, values))} [{names}] end {end}: {text}"
            for (kpi, window, names, values, end), text in sorted(found)]


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description="Compares published KPI rows with the oracle.")
    parser.add_argument("truth", help="what the generator wrote with --truth")
    parser.add_argument("kpis", help="the view kpi_current as CSV")
    parser.add_argument("--zone", default="Asia/Shanghai", help="zone of the calendar windows")
    parser.add_argument("--groups-max", type=int, default=10_000, help="most groups of a window")
    parser.add_argument("--n-min", type=int, default=30, help="least events of a row that is ok")
    return parser.parse_args()


def main():
    asked = arguments()
    chosen = oracle.settings(asked.zone, asked.groups_max, asked.n_min)
    with open(asked.truth, encoding="utf-8") as lines:
        expected = oracle.table(oracle.load(lines), chosen)
    with open(asked.kpis, encoding="utf-8", newline="") as text:
        reader = csv.DictReader(text)
        columns, rows = reader.fieldnames or [], list(reader)
    try:
        found = differences(expected, rows, columns)
    except ValueError as error:
        sys.exit(f"{asked.kpis}: {error}")
    print(*found[:20], sep="\n", end="\n" if found else "")
    skipped = [name for name in [*FLOATS, "status"] if name not in columns]
    if skipped:
        print(f"not in the CSV, so not compared: {', '.join(skipped)}")
    print(f"{len(expected)} rows expected, {len(rows)} published, {len(found)} differences")
    sys.exit(1 if found or not expected else 0)


if __name__ == "__main__":
    main()
