"""The oracle on cases small enough to reckon by hand."""

import json
import unittest

import oracle


def line(offset, class_="accepted", partition=0, **event):
    return json.dumps({"class": class_, "topic": "t", "partition": partition, "offset": offset, "event": event})


def rating(offset, identity, time, score, **more):
    return line(offset, event_id=identity, kind="rating", event_time=time, score=score, scale="1-5", **more)


def values(lines, kpi, window):
    """Ends (seconds of the day) to value of the total."""
    table = oracle.table(oracle.load(lines))
    return {
        key[4] // oracle.SECOND % 86_400: figures[0]
        for key, figures in sorted(table.items())
        if key[:3] == (kpi, window, "")
    }


class OracleTest(unittest.TestCase):
    def test_an_event_enters_and_leaves_a_rolling_window(self):
        lines = [rating(0, "a", "2026-01-01T00:00:10Z", 5), rating(1, "b", "2026-01-01T00:06:10Z", 3)]
        found = values(lines, "csat", "5m")
        self.assertEqual(found, {60: 100 * 10**12, 360: None, 420: 50 * 10**12})

    def test_the_month_ends_at_the_zones_midnight(self):
        end = oracle.period_end("month", oracle.micros("2026-10-31T15:59:59Z"))
        self.assertEqual(end, oracle.micros("2026-10-31T16:00:00Z"))
        self.assertEqual(oracle.period_end("half_year", end), oracle.micros("2026-12-31T16:00:00Z"))

    def test_void_events_and_copies_leave_rows_without_value(self):
        lines = [
            rating(0, "a", "2026-01-01T00:00:10Z", 5),
            rating(0, "a", "2026-01-01T00:00:10Z", 5).replace('"partition": 0', '"partition": 1'),
            rating(1, "b", "2026-01-01T00:00:20Z", 1),
            line(2, event_id="c", kind="sale", event_time="2026-01-01T00:00:30Z", units=2, retracts="b"),
        ]
        table = oracle.table(oracle.load(lines))
        row = next(v for k, v in table.items() if k[:3] == ("response_count", "day", ""))
        self.assertEqual(row[3], 1)

    def test_a_case_counts_at_its_first_opening(self):
        opened = {"kind": "complaint_opened", "case_id": "x"}
        lines = [
            line(0, event_id="late", event_time="2026-01-01T00:10:00Z", **opened),
            line(1, event_id="first", event_time="2026-01-01T00:00:30Z", **opened),
            line(2, event_id="sale", kind="sale", event_time="2026-01-01T00:00:40Z", units=4),
        ]
        self.assertEqual(values(lines, "complaint_rate", "all"), {0: 10**12 // 4})
        self.assertEqual(values(lines, "complaint_rate", "5m")[60], 10**12 // 4)
        self.assertIsNone(values(lines, "complaint_rate", "5m")[660])

    def test_halves_go_to_the_even_neighbour(self):
        self.assertEqual(oracle.half_even(1, 2 * 10**12), 0)
        self.assertEqual(oracle.half_even(3, 2 * 10**12), 2)

    def test_scores_are_rounded_half_up_at_four_decimals(self):
        self.assertEqual(oracle.csat({"scale": "1-7", "score": 2}), 166_667)
        self.assertEqual(oracle.csat({"scale": "1-10", "score": 10}), 1_000_000)


if __name__ == "__main__":
    unittest.main()
