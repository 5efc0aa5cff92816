"""Effective sample size, standard error and 95 % interval, from exact moments.

The formulas are F8, F9, F11 and F12 of docs/kpi-catalog.md. Sums and quotients are
fractions; roots, exponentials and quantiles have 60 digits. Only results are floats.
"""

import collections
import decimal
import fractions
import functools
import math

DIGITS = decimal.Context(prec=60)
CLOSE = decimal.Decimal(10) ** -40
Z = decimal.Decimal("1.9599639845400542355245944305205515279555500778695")
TAIL = decimal.Decimal("0.025")

Sums = collections.namedtuple("Sums", "n base_n w wx ww wwx wwxx base")
Estimates = collections.namedtuple("Estimates", "n_eff se ci_low ci_high")
NOTHING = (None, None)


def in_digits(function):
    """The function with every decimal operation in 60 digits, whatever the caller's context."""

    @functools.wraps(function)
    def inner(*arguments):
        with decimal.localcontext(DIGITS):
            return function(*arguments)

    return inner


def decimal_of(number):
    """A fraction in 60 digits."""
    return decimal.Decimal(number.numerator) / decimal.Decimal(number.denominator)


def mean_of(sums):
    """Weighted mean; there is weight."""
    return fractions.Fraction(sums.wx, sums.w * 10**4)


def effective_n(sums):
    """F8; None without weight."""
    return fractions.Fraction(sums.w**2, sums.ww) if sums.ww else None


@in_digits
def standard_error(sums):
    """F9 in units of the value; None for fewer than two events."""
    if sums.n < 2:
        return None
    mean = mean_of(sums)
    squares = fractions.Fraction(sums.wwxx, 10**20)
    cross = fractions.Fraction(sums.wwx, 10**16)
    weights = fractions.Fraction(sums.ww, 10**12)
    deviations = squares - 2 * mean * cross + mean**2 * weights
    total = fractions.Fraction(sums.w, 10**6)
    return decimal_of(fractions.Fraction(sums.n, sums.n - 1) * deviations / total**2).sqrt()


@in_digits
def normal(mean, error):
    """The interval of a mean."""
    middle = decimal_of(mean)
    return middle - Z * error, middle + Z * error


@in_digits
def wilson(share, n):
    """F11: the interval of a share among `n` events, which need not be whole."""
    share, n = decimal_of(share), decimal_of(n)
    middle = share + Z**2 / (2 * n)
    half = Z * (share * (1 - share) / n + (Z / (2 * n)) ** 2).sqrt()
    scale = 1 + Z**2 / n
    low = (middle - half) / scale
    high = (middle + half) / scale
    # The bounds of shares 0 and 1 are exact; the last of 60 digits is not.
    return (low if share else share), (high if share != 1 else share)


def poisson_at_most(most, mean):
    """Probability of at most so many events, and that of just so many."""
    last = (-mean).exp() * mean**most / math.factorial(most)
    total, term, number = last, last, most
    # Downwards the terms grow until the mean, then vanish.
    while number and (number > mean or term > total * CLOSE):
        term = term * number / mean
        number -= 1
        total += term
    return total, last


def poisson_mean(most, probability, sign):
    """The mean that gives at most so many events just this probability; its side of `most` by the sign."""
    shape = decimal.Decimal(most + 1)
    mean = shape * (1 - 1 / (9 * shape) + sign * Z / (3 * shape.sqrt())) ** 3
    for _ in range(50):
        reached, slope = poisson_at_most(most, mean)
        step = (reached - probability) / slope
        mean += step
        if abs(step) < mean * CLOSE:
            return mean
    raise ArithmeticError(f"no mean found for at most {most} events")


@functools.cache
@in_digits
def garwood(count):
    """F12: the exact interval of the mean of a Poisson count."""
    low = poisson_mean(count - 1, 1 - TAIL, -1) if count else decimal.Decimal(0)
    return low, poisson_mean(count, TAIL, 1)


@in_digits
def rate(count, exposure):
    """F12: the interval of a count per unit of exposure (10 decimals)."""
    low, high = garwood(count)
    units = decimal.Decimal(exposure).scaleb(-10)
    return low / units, high / units


def is_count(sums):
    """Weights or values other than 1 make a ratio's numerator no plain count."""
    return sums.base > 0 and sums.wx == sums.n * 10**10


@in_digits
def rate_error(kind, sums):
    """Standard error of a Poisson rate, None where the ratio is of no plain count."""
    if kind != "ratio" or not is_count(sums):
        return None
    return decimal.Decimal(sums.n).sqrt() / decimal.Decimal(sums.base).scaleb(-10)


def interval(kind, sums, error):
    """95 % interval of the value, (None, None) where there is none."""
    if kind == "mean" and error is not None:
        return normal(mean_of(sums), error)
    if kind == "share" and sums.ww:
        return wilson(mean_of(sums), effective_n(sums))
    if kind == "ratio" and is_count(sums):
        return rate(sums.n, sums.base)
    return NOTHING


def estimates(kind, sums):
    """All four for a KPI's kind: mean, share, ratio or count."""
    error = standard_error(sums) if kind in ("mean", "share") else rate_error(kind, sums)
    figures = (effective_n(sums), error, *interval(kind, sums, error))
    return Estimates(*(None if figure is None else float(figure) for figure in figures))
