"""The statistics on the worked examples of F8, F9, F11 and F12."""

import statistics
import unittest
from fractions import Fraction

import estimates
from estimates import Sums


def sums_of(pairs):
    """Sums of (weight, value) pairs in whole numbers."""
    scaled = [(w * 10**6, x * 10**4) for w, x in pairs]
    total = [sum(w**i * x**j for w, x in scaled) for i, j in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]]
    return Sums(sum(w > 0 for w, _ in scaled), 0, *total, 0)


EXAMPLE = sums_of([(1, 5), (1, 4), (2, 3), (2, 2), (4, 1)])


class EstimatesTest(unittest.TestCase):
    def assert_close(self, found, expected, places):
        self.assertEqual([round(float(number), places) for number in found], expected)

    def test_f8_kish(self):
        self.assertEqual(estimates.effective_n(EXAMPLE), Fraction(100, 26))
        self.assertIsNone(estimates.effective_n(sums_of([])))
        self.assertIsNone(estimates.effective_n(sums_of([(0, 3)])))

    def test_f9_gatz_and_smith(self):
        self.assertEqual(estimates.mean_of(EXAMPLE), Fraction(23, 10))
        error = estimates.standard_error(EXAMPLE)
        self.assert_close([error**2, error], [0.49425, 0.70303], 5)

    def test_f9_is_the_usual_error_under_equal_weights(self):
        values = [1, 2, 4, 4, 9]
        error = estimates.standard_error(sums_of([(3, x) for x in values]))
        self.assertAlmostEqual(float(error), statistics.stdev(values) / 5**0.5, 14)

    def test_f9_needs_two_events(self):
        self.assertIsNone(estimates.standard_error(sums_of([(1, 5)])))
        self.assertIsNone(estimates.standard_error(sums_of([(1, 5), (0, 4)])))
        self.assertEqual(estimates.standard_error(sums_of([(3, 99), (1, 99), (7, 99)])), 0)

    def test_f11_wilson(self):
        self.assert_close(estimates.wilson(Fraction(8, 10), Fraction(10)), [0.490162, 0.943318], 6)
        self.assert_close(estimates.wilson(Fraction(5, 400), Fraction(400)), [0.005351, 0.028924], 6)
        self.assert_close(estimates.wilson(Fraction(0), Fraction(50)), [0, 0.071348], 6)

    def test_f11_bounds_of_none_and_all_are_exact(self):
        for n in (1, 3, 50, 12345):
            self.assertEqual(estimates.wilson(Fraction(0), Fraction(n))[0], 0)
            self.assertEqual(estimates.wilson(Fraction(1), Fraction(n))[1], 1)

    def test_f12_garwood(self):
        self.assert_close(estimates.garwood(7), [2.814, 14.423], 3)
        self.assert_close(estimates.garwood(0), [0, 3.689], 3)

    def test_f12_bounds_leave_the_tails_for_any_count(self):
        for count in (1, 2, 10, 99, 1000, 20_000):
            low, high = estimates.garwood(count)
            at_low = 1 - estimates.poisson_at_most(count - 1, low)[0]
            at_high = estimates.poisson_at_most(count, high)[0]
            self.assertAlmostEqual(float(at_low), 0.025, 15, count)
            self.assertAlmostEqual(float(at_high), 0.025, 15, count)
            self.assertTrue(low < count < high)

    def test_the_quantile_is_that_of_the_normal_distribution(self):
        self.assertAlmostEqual(float(estimates.Z), statistics.NormalDist().inv_cdf(0.975), 13)

    def test_a_mean_has_an_interval_around_it(self):
        found = estimates.estimates("mean", EXAMPLE)
        self.assert_close(found, [3.84615, 0.70303, 0.92209, 3.67791], 5)
        self.assertEqual(estimates.estimates("mean", sums_of([(2, 5)])), (1, None, None, None))

    def test_a_share_has_wilsons_with_the_effective_size(self):
        sums = sums_of([(1, 1)] * 8 + [(1, 0)] * 2)
        self.assert_close(estimates.estimates("share", sums)[2:], [0.490162, 0.943318], 6)
        weighted = sums_of([(4, 1)] * 8 + [(4, 0)] * 2)
        self.assertEqual(estimates.estimates("share", weighted), estimates.estimates("share", sums))
        self.assertEqual(estimates.estimates("share", sums_of([(1, 1)]))[1], None)
        self.assertEqual(estimates.estimates("share", sums_of([(1, 1)]))[3], 1)

    def test_a_ratio_of_plain_counts_has_garwoods(self):
        seven = sums_of([(1, 1)] * 7)._replace(base_n=3, base=1000 * 10**10)
        found = estimates.estimates("ratio", seven)
        self.assert_close([1000 * found.ci_low, 1000 * found.ci_high], [2.814, 14.423], 3)
        self.assertEqual(found.n_eff, 7)
        self.assert_close([1000 * found.se], [2.645751], 6)
        none = sums_of([])._replace(base_n=3, base=10**10)
        self.assert_close(estimates.estimates("ratio", none)[2:], [0, 3.689], 3)

    def test_other_ratios_and_counts_have_no_interval(self):
        for kind, sums in [
            ("ratio", sums_of([(1, 1)])),
            ("ratio", sums_of([(2, 1)])._replace(base=10**10)),
            ("ratio", sums_of([(1, 3)])._replace(base=10**10)),
            ("count", EXAMPLE),
        ]:
            self.assertEqual(estimates.estimates(kind, sums)[1:], (None, None, None), kind)


if __name__ == "__main__":
    unittest.main()
