"""The oracle on cases small enough to reckon by hand."""

import datetime
import unittest

import oracle
from cases import line, rating

OPENED = {"kind": "complaint_opened", "case_id": "x"}


def table(lines, **chosen):
    return oracle.table(oracle.load(lines), oracle.settings(**chosen))


def values(lines, kpi, window):
    """Ends (seconds of the day) to value of the total."""
    rows = sorted(table(lines).items())
    return {key[4] // oracle.SECOND % 86_400: row.figures[0] for key, row in rows if key[:3] == (kpi, window, "")}


def counts(lines, grouping_set=""):
    """Groups to number of responses of the day."""
    found = table(lines).items()
    return {key[3]: row.figures[3] for key, row in found if key[:3] == ("response_count", "day", grouping_set)}


def statuses(lines, window, grouping_set, kpi="response_count", **chosen):
    """(end in seconds of the day, group) to status."""
    found = table(lines, **chosen).items()
    wanted = (kpi, window, grouping_set)
    return {(key[4] // oracle.SECOND % 86_400, *key[3]): row.status for key, row in found if key[:3] == wanted}


def day_end(time, zone):
    end = oracle.period_end("day", oracle.micros(time), oracle.settings(zone).zone)
    return (oracle.EPOCH + datetime.timedelta(microseconds=end)).isoformat()


class WindowTest(unittest.TestCase):
    def test_an_event_enters_and_leaves_a_rolling_window(self):
        lines = [rating(0, "a", "2026-01-01T00:00:10Z", 5), rating(1, "b", "2026-01-01T00:06:10Z", 3)]
        found = values(lines, "csat", "5m")
        self.assertEqual(found, {60: 100 * 10**12, 360: None, 420: 50 * 10**12})

    def test_the_month_ends_at_the_zones_midnight(self):
        zone = oracle.settings("Asia/Shanghai").zone
        end = oracle.period_end("month", oracle.micros("2026-10-31T15:59:59Z"), zone)
        self.assertEqual(end, oracle.micros("2026-10-31T16:00:00Z"))
        self.assertEqual(oracle.period_end("half_year", end, zone), oracle.micros("2026-12-31T16:00:00Z"))

    def test_a_month_edge_depends_on_the_zone(self):
        zone = oracle.settings("UTC").zone
        end = oracle.period_end("month", oracle.micros("2026-10-31T16:00:00Z"), zone)
        self.assertEqual(end, oracle.micros("2026-11-01T00:00:00Z"))

    def test_a_spring_day_in_berlin_has_23_hours(self):
        self.assertEqual(day_end("2026-03-28T22:59:59Z", "Europe/Berlin"), "2026-03-28T23:00:00+00:00")
        self.assertEqual(day_end("2026-03-28T23:00:00Z", "Europe/Berlin"), "2026-03-29T22:00:00+00:00")
        self.assertEqual(day_end("2026-03-29T21:59:59.999999Z", "Europe/Berlin"), "2026-03-29T22:00:00+00:00")

    def test_an_autumn_day_in_berlin_has_25_hours(self):
        self.assertEqual(day_end("2026-10-24T22:00:00Z", "Europe/Berlin"), "2026-10-25T23:00:00+00:00")
        # 02:30 comes twice; both are of the same day.
        self.assertEqual(day_end("2026-10-25T00:30:00Z", "Europe/Berlin"), "2026-10-25T23:00:00+00:00")
        self.assertEqual(day_end("2026-10-25T01:30:00Z", "Europe/Berlin"), "2026-10-25T23:00:00+00:00")
        self.assertEqual(day_end("2026-10-25T22:59:59Z", "Europe/Berlin"), "2026-10-25T23:00:00+00:00")
        self.assertEqual(day_end("2026-10-25T23:00:00Z", "Europe/Berlin"), "2026-10-26T23:00:00+00:00")

    def test_rows_follow_the_zone(self):
        lines = [rating(0, "a", "2026-10-24T22:30:00Z", 5), rating(1, "b", "2026-10-25T22:30:00Z", 1)]
        ends = {zone: [] for zone in ("UTC", "Europe/Berlin")}
        for zone, found in ends.items():
            days = (key for key in table(lines, zone=zone) if key[:3] == ("response_count", "day", ""))
            found.extend(sorted(key[4] for key in days))
        self.assertEqual(ends["Europe/Berlin"], [oracle.micros("2026-10-25T23:00:00Z")])
        self.assertEqual(ends["UTC"], [oracle.micros("2026-10-25T00:00:00Z"), oracle.micros("2026-10-26T00:00:00Z")])


class IdentityTest(unittest.TestCase):
    def test_a_void_event_leaves_its_row_and_no_value(self):
        for field in ("retracts", "supersedes"):
            lines = [
                rating(0, "b", "2026-01-01T00:00:20Z", 1, department="Repair"),
                line(1, event_id="c", kind="sale", event_time="2026-01-01T00:00:30Z", units=2, **{field: "b"}),
            ]
            for window, names, group in [("5m", "", ()), ("day", "department", ("Repair",)), ("all", "", ())]:
                found = [row for key, row in table(lines).items() if key[:4] == ("csat", window, names, group)]
                self.assertEqual([row.figures for row in found], [(None, *[0] * 8)], (field, window))
                self.assertEqual([row.status for row in found], ["stale"])

    def test_a_copy_leaves_its_row_and_no_value(self):
        lines = [
            rating(0, "a", "2026-01-01T00:00:10Z", 5, department="Repair"),
            rating(0, "a", "2026-01-01T00:00:10Z", 5, partition=1, department="Sales"),
        ]
        self.assertEqual(counts(lines), {(): 1})
        self.assertEqual(counts(lines, "department"), {("Repair",): 1, ("Sales",): 0})

    def test_the_least_place_counts_whatever_the_order_of_lines(self):
        lines = [
            rating(5, "a", "2026-01-01T00:00:10Z", 5, partition=1, department="Sales"),
            rating(9, "a", "2026-01-01T00:00:10Z", 5, department="Repair"),
        ]
        self.assertEqual(counts(lines, "department"), {("Repair",): 1, ("Sales",): 0})
        self.assertEqual(counts(lines[::-1], "department"), {("Repair",): 1, ("Sales",): 0})

    def test_events_of_two_sources_are_no_copies(self):
        time = "2026-01-01T00:00:10Z"
        by_topic = [rating(0, "a", time, 5, topic="t"), rating(0, "a", time, 5, topic="u")]
        self.assertEqual(counts(by_topic), {(): 2})
        by_field = [rating(0, "a", time, 5, source="x"), rating(1, "a", time, 5, source="y")]
        self.assertEqual(counts(by_field), {(): 2})

    def test_events_of_one_source_are_copies_in_any_topic(self):
        time = "2026-01-01T00:00:10Z"
        lines = [rating(0, "a", time, 5, topic="t", source="x"), rating(0, "a", time, 5, topic="u", source="x")]
        self.assertEqual(counts(lines), {(): 1})
        default = [rating(0, "a", time, 5, topic="t"), rating(0, "a", time, 5, topic="u", source="t")]
        self.assertEqual(counts(default), {(): 1})

    def test_a_retraction_reaches_its_own_source_only(self):
        time = "2026-01-01T00:00:10Z"
        lines = [
            rating(0, "a", time, 5, source="x", department="X"),
            rating(1, "a", time, 5, source="y", department="Y"),
            rating(2, "b", time, 5, source="y", department="Z", retracts="a"),
        ]
        self.assertEqual(counts(lines, "department"), {("X",): 1, ("Y",): 0, ("Z",): 1})

    def test_a_void_event_and_all_its_copies_count_nothing(self):
        time = "2026-01-01T00:00:10Z"
        copies = [rating(0, "a", time, 5), rating(0, "a", time, 5, partition=1)]
        self.assertEqual(counts([*copies, rating(1, "b", time, 5, retracts="a")]), {(): 1})

    def test_what_was_not_accepted_leaves_nothing(self):
        time = "2026-01-01T00:00:10Z"
        other = line(1, class_="duplicate", event_id="b", kind="rating", event_time=time, score=1, scale="1-5")
        self.assertEqual(counts([rating(0, "a", time, 5), other]), {(): 1})


class CaseTest(unittest.TestCase):
    def test_a_case_counts_at_its_first_opening(self):
        lines = [
            line(0, event_id="late", event_time="2026-01-01T00:10:00Z", **OPENED),
            line(1, event_id="first", event_time="2026-01-01T00:00:30Z", **OPENED),
            line(2, event_id="sale", kind="sale", event_time="2026-01-01T00:00:40Z", units=4),
        ]
        self.assertEqual(values(lines, "complaint_rate", "all"), {0: 10**12 // 4})
        self.assertEqual(values(lines, "complaint_rate", "5m")[60], 10**12 // 4)
        self.assertIsNone(values(lines, "complaint_rate", "5m")[660])

    def test_a_void_opening_hands_the_case_over(self):
        lines = [
            line(0, event_id="late", event_time="2026-01-01T00:10:00Z", retracts="first", **OPENED),
            line(1, event_id="first", event_time="2026-01-01T00:00:30Z", **OPENED),
            line(2, event_id="sale", kind="sale", event_time="2026-01-01T00:10:20Z", units=4),
        ]
        self.assertEqual(values(lines, "complaint_rate", "5m"), {60: None, 360: None, 660: 10**12 // 4})


class StatusTest(unittest.TestCase):
    def test_a_row_is_stale_insufficient_or_ok(self):
        lines = [rating(offset, str(offset), "2026-01-01T00:00:10Z", 5) for offset in range(2)]
        lines.append(rating(2, "end", "2026-01-01T00:05:30Z", 5))
        found = statuses(lines, "5m", "", kpi="csat", n_min=2)
        self.assertEqual(found, {(60,): "ok", (360,): "insufficient"})
        lines[2] = lines[2].replace('"score": 5', '"score": 5, "weight": 0')
        found = statuses(lines, "5m", "", kpi="csat", n_min=2)
        self.assertEqual(found, {(60,): "ok", (360,): "stale"})

    def test_the_default_minimum_is_30_but_a_count_has_none(self):
        lines = [rating(offset, str(offset), "2026-01-01T00:00:10Z", 5) for offset in range(29)]
        self.assertEqual(statuses(lines, "day", "", kpi="csat"), {(57_600,): "insufficient"})
        self.assertEqual(statuses(lines, "day", ""), {(57_600,): "ok"})
        lines.append(rating(29, "30", "2026-01-01T00:00:10Z", 5))
        self.assertEqual(statuses(lines, "day", "", kpi="csat"), {(57_600,): "ok"})

    def test_a_ratio_is_insufficient_by_its_denominator(self):
        lines = [
            line(0, event_id="c", event_time="2026-01-01T00:00:10Z", **OPENED),
            line(1, event_id="s", kind="sale", event_time="2026-01-01T00:00:10Z", units=4),
        ]
        self.assertEqual(statuses(lines, "day", "", kpi="complaint_rate", n_min=1), {(57_600,): "ok"})
        self.assertEqual(statuses(lines, "day", "", kpi="complaint_rate", n_min=2), {(57_600,): "insufficient"})
        self.assertEqual(statuses(lines[:1], "day", "", kpi="complaint_rate", n_min=1), {(57_600,): "insufficient"})


class LimitTest(unittest.TestCase):
    """Groups of department a and b; a alone in the first minute, both from the second."""

    LINES = [
        rating(0, "1", "2026-01-01T00:00:10Z", 5, department="a", region="north"),
        rating(1, "2", "2026-01-01T00:01:10Z", 5, department="b", region="north"),
        rating(2, "3", "2026-01-01T00:09:10Z", 5, department="a", region="north"),
    ]

    def test_an_end_over_the_limit_has_no_rows_of_the_set(self):
        # 120: both; 360: the first a has left; 420: b leaves; 600: a again.
        found = statuses(self.LINES, "5m", "department", groups_max=1)
        self.assertEqual(found, {(60, "a"): "ok", (360, "a"): "stale", (420, "b"): "stale", (600, "a"): "ok"})

    def test_just_the_limit_is_within_it(self):
        self.assertIn((120, "b"), statuses(self.LINES, "5m", "department", groups_max=2))
        self.assertEqual(statuses(self.LINES, "5m", "", groups_max=2)[120,], "ok")

    def test_coarser_sets_say_so_at_that_end_only(self):
        found = statuses(self.LINES, "5m", "", groups_max=1)
        self.assertEqual(found, {(60,): "ok", (120,): "over_limit", (360,): "ok", (420,): "stale", (600,): "ok"})

    def test_sets_that_are_not_subsets_do_not(self):
        self.assertEqual(statuses(self.LINES, "5m", "region", groups_max=1)[120, "north"], "ok")

    def test_a_set_between_says_so_of_the_finest(self):
        lines = [rating(i, str(i), "2026-01-01T00:00:10Z", 5, department="a", channel=str(i)) for i in range(2)]
        self.assertEqual(statuses(lines, "day", "channel,department", groups_max=1), {})
        self.assertEqual(statuses(lines, "day", "department", groups_max=1), {(57_600, "a"): "over_limit"})
        self.assertEqual(statuses(lines, "day", "", groups_max=1), {(57_600,): "over_limit"})

    def test_over_the_limit_goes_before_insufficient(self):
        self.assertEqual(statuses(self.LINES, "5m", "", kpi="csat", groups_max=1)[120,], "over_limit")

    def test_stale_goes_before_over_the_limit(self):
        # The void event's own department holds nothing, while its channels' set is over.
        lines = [rating(i, str(i), "2026-01-01T00:00:10Z", 5, department="a", channel=str(i)) for i in range(2)]
        lines.append(rating(2, "void", "2026-01-01T00:00:10Z", 5, department="b"))
        lines.append(line(3, event_id="r", kind="sale", event_time="2026-01-01T00:00:20Z", units=1, retracts="void"))
        found = statuses(lines, "day", "department", groups_max=1)
        self.assertEqual(found, {(57_600, "a"): "over_limit", (57_600, "b"): "stale"})

    def test_groups_without_content_are_not_counted(self):
        lines = [self.LINES[0], rating(1, "2", "2026-01-01T00:00:10Z", 5, department="b", weight=0)]
        found = statuses(lines, "day", "department", groups_max=1)
        self.assertEqual(found, {(57_600, "a"): "ok", (57_600, "b"): "stale"})

    def test_groups_without_a_row_at_the_end_are_counted(self):
        # At 120 only b has a row; a is in the window all the same. In calendar days they are apart.
        self.assertNotIn((120, "b"), statuses(self.LINES, "5m", "department", groups_max=1))
        lines = [self.LINES[0], rating(1, "2", "2026-01-03T00:00:10Z", 5, department="b")]
        self.assertEqual(len(statuses(lines, "all", "department", groups_max=1)), 1)
        ends = [key for key in table(lines, groups_max=1) if key[:3] == ("csat", "day", "department")]
        self.assertEqual(len(ends), 2)


class NumberTest(unittest.TestCase):
    def test_halves_go_to_the_even_neighbour(self):
        self.assertEqual(oracle.half_even(1, 2 * 10**12), 0)
        self.assertEqual(oracle.half_even(3, 2 * 10**12), 2)

    def test_scores_are_rounded_half_up_at_four_decimals(self):
        self.assertEqual(oracle.csat({"scale": "1-7", "score": 2}), 166_667)
        self.assertEqual(oracle.csat({"scale": "1-10", "score": 10}), 1_000_000)

    def test_numbers_are_scaled_without_rounding(self):
        self.assertEqual(oracle.scaled("1" * 45 + ".25", 20), int("1" * 45 + "25" + "0" * 18))
        with self.assertRaises(ValueError):
            oracle.scaled("0.1234567", 6)


if __name__ == "__main__":
    unittest.main()
