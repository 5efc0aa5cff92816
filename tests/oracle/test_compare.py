"""The comparer finds every kind of doctored row, and nothing in a faithful table."""

import csv
import datetime
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

import compare
import estimates
import oracle
from cases import line, rating

DIMENSIONS = ["channel", "department", "product", "region", "segment"]
COLUMNS = [*compare.KEY, *DIMENSIONS, *compare.DECIMALS, *compare.FLOATS, "status"]


def truth():
    """Ratings, complaints and sales of two departments, one void."""
    lines = [
        rating(i, f"r{i}", f"2026-01-01T00:0{i % 6}:10Z", i % 5 + 1, weight="1.25", department="ab"[i % 2])
        for i in range(12)
    ]
    lines.append(rating(12, "void", "2026-01-01T00:02:10Z", 1, department="c"))
    sale = {"kind": "sale", "event_time": "2026-01-01T00:03:00Z", "units": 7}
    lines.append(line(13, event_id="s", retracts="void", **sale))
    opened = {"kind": "complaint_opened", "case_id": "x", "event_time": "2026-01-01T00:03:30Z"}
    lines.append(line(14, event_id="c", department="a", channel="web", **opened))
    return lines


def decimal_text(number, decimals):
    if number is None:
        return ""
    digits = f"{abs(number):0{decimals + 1}}"
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return f"{'-' if number < 0 else ''}{whole}{'.' if decimals else ''}{fraction}"


def csv_row(key, row):
    """A row as a faithful program publishes it."""
    kpi, window, names, group, end = key
    time = (oracle.EPOCH + datetime.timedelta(microseconds=end)).isoformat().replace("+00:00", "Z")
    cells = dict.fromkeys(DIMENSIONS, "") | (dict(zip(names.split(","), group)) if names else {})
    cells |= {"kpi": kpi, "window_name": window, "grouping_set": names, "window_end": time, "status": row.status}
    figures = zip(compare.DECIMALS.items(), row.figures)
    cells |= {name: decimal_text(number, decimals) for (name, decimals), number in figures}
    statistics = estimates.estimates(oracle.KINDS[kpi], row.sums)._asdict()
    return cells | {name: "" if number is None else repr(number) for name, number in statistics.items()}


class CompareTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = oracle.table(oracle.load(truth()), oracle.settings(n_min=3))

    def setUp(self):
        self.rows = [csv_row(key, row) for key, row in self.table.items()]

    def differences(self, columns=COLUMNS):
        return compare.differences(self.table, self.rows, columns)

    def pick(self, kpi="csat", window="day", names="department", **cells):
        """The first row with these cells."""
        wanted = {"kpi": kpi, "window_name": window, "grouping_set": names, **cells}
        return next(row for row in self.rows if wanted.items() <= row.items())

    def assert_one(self, *texts):
        found = self.differences()
        self.assertEqual(len(found), 1, found[:5])
        for text in texts:
            self.assertIn(text, found[0])

    def doctor(self, name, text, **where):
        row = self.pick(**where)
        self.assertNotEqual(row[name], text)
        row[name] = text
        self.assert_one(f"{name}: expected ", f"published {text or 'NULL'}")

    def test_a_faithful_table_has_no_differences(self):
        self.assertEqual(self.differences(), [])
        self.rows.reverse()
        self.assertEqual(self.differences(), [])

    def test_the_table_shows_every_kind_of_statistic_and_status(self):
        for name in compare.FLOATS:
            self.assertEqual({row[name] == "" for row in self.rows}, {True, False}, name)
        self.assertEqual({row["status"] for row in self.rows}, {"stale", "insufficient", "ok"})

    def test_every_exact_figure_is_compared_to_its_last_digit(self):
        for name, decimals in compare.DECIMALS.items():
            with self.subTest(name):
                self.setUp()
                row = self.pick()
                number = oracle.scaled(row[name], decimals)
                self.doctor(name, decimal_text(number + 1, decimals))

    def test_more_decimals_than_a_figure_has_are_a_difference(self):
        row = self.pick()
        self.doctor("value", row["value"] + "1")

    def test_null_is_no_number_and_no_number_is_null(self):
        self.doctor("value", "")
        self.setUp()
        self.doctor("value", "0.000000000000", department="c")
        self.setUp()
        self.doctor("n", "")
        self.setUp()
        self.doctor("se", "")
        self.setUp()
        self.doctor("se", "0.0", department="c")

    def test_what_is_no_number_is_a_difference(self):
        for text in ("NaN", "Infinity", "many"):
            for name in ("value", "n_eff"):
                with self.subTest(f"{name} {text}"):
                    self.setUp()
                    self.doctor(name, text)

    def test_a_missing_row_is_found(self):
        self.rows.remove(self.pick())
        self.assert_one("csat day", "missing")

    def test_a_missing_row_without_value_is_found(self):
        row = self.pick(department="c")
        self.assertEqual((row["n"], row["status"]), ("0", "stale"))
        self.rows.remove(row)
        self.assert_one("'department': 'c'", "missing")

    def test_an_extra_row_is_found(self):
        self.rows.append(self.pick() | {"department": "nowhere"})
        self.assert_one("'department': 'nowhere'", "not expected")

    def test_a_row_at_another_end_is_found(self):
        self.rows.append(self.pick() | {"window_end": "2026-01-05T16:00:00Z"})
        self.assert_one("not expected")

    def test_an_unknown_kpi_is_found(self):
        self.rows.append(self.pick() | {"kpi": "nps"})
        self.assert_one("nps day", "not expected")

    def test_a_row_that_is_there_twice_is_found(self):
        self.rows.append(dict(self.pick()))
        self.assert_one("is there twice")

    def test_a_stray_value_in_an_ungrouped_column_is_found(self):
        for name in ("channel", "product", "region"):
            with self.subTest(name):
                self.setUp()
                self.pick(department="a")[name] = "stray"
                missing, extra = self.differences()
                self.assertIn("missing", missing)
                self.assertIn(f"'{name}': 'stray'", extra)
                self.assertIn("not expected", extra)

    def test_a_stray_value_beside_the_proper_row_is_found(self):
        self.rows.append(self.pick(names="") | {"region": "north"})
        self.assert_one("'region': 'north'", "not expected")

    def test_a_stray_value_in_a_dimension_not_known_here_is_found(self):
        for row in self.rows:
            row["planet"] = ""
        columns = [*COLUMNS, "planet"]
        self.assertEqual(self.differences(columns), [])
        self.pick()["planet"] = "Mars"
        self.assertEqual(len(self.differences(columns)), 2)

    def test_a_grouped_value_that_is_lost_is_found(self):
        self.pick(department="a")["department"] = ""
        self.assertEqual(len(self.differences()), 2)

    def test_every_statistic_is_compared(self):
        compared = set()
        for kpi in oracle.KINDS:
            row = self.pick(kpi=kpi, names="")
            for name in (name for name in compare.FLOATS if row[name]):
                compared.add((kpi, name))
                for factor in (1 - 3e-9, 1 + 3e-9):
                    with self.subTest(f"{kpi} {name} {factor}"):
                        self.setUp()
                        self.doctor(name, repr(float(row[name]) * factor), kpi=kpi, names="")
        self.assertEqual(len(compared), 4 + 4 + 1 + 4)

    def test_a_bound_of_zero_that_is_not_zero_is_found(self):
        row = self.pick(kpi="complaint_rate", department="(none)")
        self.assertEqual((row["numerator"], row["ci_low"]), ("0.0000000000", "0.0"))
        row["ci_low"] = "1e-12"
        self.assert_one("ci_low: expected 0.0")

    def test_the_last_bits_of_a_statistic_are_not_compared(self):
        for row in self.rows:
            for name in compare.FLOATS:
                if row[name]:
                    row[name] = repr(float(row[name]) * (1 + 3e-10) + (1e-17 if name == "ci_low" else 0))
        self.assertEqual(self.differences(), [])

    def test_every_status_is_compared(self):
        for status in ("stale", "incomplete", "over_limit", "insufficient", ""):
            with self.subTest(status):
                self.setUp()
                row = self.pick()
                self.assertEqual(row["status"], "ok")
                self.doctor("status", status)

    def test_a_row_of_a_set_over_its_limit_is_found(self):
        within = oracle.table(oracle.load(truth()), oracle.settings(n_min=3))
        over = oracle.table(oracle.load(truth()), oracle.settings(n_min=3, groups_max=1))
        found = compare.differences(over, [csv_row(key, row) for key, row in within.items()], COLUMNS)
        self.assertTrue(any("not expected" in text and "[department]" in text for text in found))
        self.assertTrue(any("status: expected over_limit" in text for text in found))

    def test_a_csv_without_statistics_is_compared_without_them(self):
        columns = [*compare.KEY, *DIMENSIONS, *compare.DECIMALS]
        self.rows = [{name: row[name] for name in columns} for row in self.rows]
        self.assertEqual(self.differences(columns), [])
        self.pick()["n"] = "99"
        self.assertEqual(len(self.differences(columns)), 1)

    def test_a_csv_without_a_needed_column_is_refused(self):
        for name in ("window_end", "region", "sum_w2x2"):
            columns = [column for column in COLUMNS if column != name]
            with self.assertRaisesRegex(ValueError, name):
                self.differences(columns)


class CommandTest(unittest.TestCase):
    """The comparer as tests/it/place.rs calls it."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_on(self, rows, *options, columns=COLUMNS):
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        folder = pathlib.Path(self.folder.name)
        (folder / "truth.jsonl").write_text("\n".join(truth()) + "\n", encoding="utf-8")
        (folder / "kpis.csv").write_text(text.getvalue(), encoding="utf-8")
        command = [sys.executable, compare.__file__, folder / "truth.jsonl", folder / "kpis.csv", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def rows(self, **chosen):
        table = oracle.table(oracle.load(truth()), oracle.settings(**chosen))
        return [csv_row(key, row) for key, row in table.items()]

    def test_a_faithful_table_passes(self):
        rows = self.rows()
        done = self.run_on(rows)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"{len(rows)} rows expected, {len(rows)} published, 0 differences\n")

    def test_a_doctored_table_fails_and_says_where(self):
        rows = self.rows()
        rows[0]["status"] = "ok!"
        done = self.run_on(rows)
        self.assertEqual(done.returncode, 1)
        self.assertIn("published ok!", done.stdout)
        self.assertIn(" 1 differences", done.stdout)

    def test_the_settings_are_those_of_the_command_line(self):
        rows = self.rows(zone="Europe/Berlin", groups_max=1, n_min=2)
        self.assertEqual(self.run_on(rows).returncode, 1)
        done = self.run_on(rows, "--zone", "Europe/Berlin", "--groups-max", "1", "--n-min", "2")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_it_says_what_it_could_not_compare(self):
        columns = [*compare.KEY, *DIMENSIONS, *compare.DECIMALS]
        done = self.run_on(self.rows(), columns=columns)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("not compared: n_eff, se, ci_low, ci_high, status", done.stdout)

    def test_a_csv_of_something_else_is_refused(self):
        done = self.run_on([], columns=["kpi", "value"])
        self.assertEqual(done.returncode, 1)
        self.assertIn("lacks the columns", done.stderr)

    def test_an_empty_table_fails(self):
        self.assertEqual(self.run_on([]).returncode, 1)


if __name__ == "__main__":
    unittest.main()
