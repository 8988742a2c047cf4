"""Statistics of a few measured numbers, as search/evidence/stats.h has them: differences with their
intervals, tests corrected for being several. Student's distribution by the incomplete beta function
(DLMF 8.17.22). Held to scipy's values by tests/bench/stats_check.py.
"""
import math
import random
import statistics


def _beta_fraction(a, b, x):
    """The continued fraction, by Lentz's method; for x < (a + 1) / (a + b + 2)."""
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) >= tiny else tiny)
    f = d
    for m in range(1, 1001):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                     -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 + term * d
            d = 1 / (d if abs(d) >= tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) >= tiny else tiny
            f *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return f


def _incomplete_beta(a, b, x):
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) +
                     b * math.log1p(-x))
    return (front * _beta_fraction(a, b, x) / a if x < (a + 1) / (a + b + 2)
            else 1 - front * _beta_fraction(b, a, 1 - x) / b)


def student_cdf(t, df):
    """P(T <= t)."""
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t))
    return 1 - tail if t > 0 else tail


def student_quantile(p, df):
    """The t that P(T <= t) = p holds for."""
    low, high = -1.0, 1.0
    while student_cdf(low, df) > p:
        low *= 2
    while student_cdf(high, df) < p:
        high *= 2
    for _ in range(200):
        middle = low + (high - low) / 2
        if student_cdf(middle, df) < p:
            low = middle
        else:
            high = middle
    return high


def _judge(difference, error, df, level):
    """What follows from them. Numbers that do not vary leave nothing to chance."""
    told = {"difference": difference, "error": error, "df": df, "low": difference,
            "high": difference, "p": float(difference == 0), "p_greater": float(difference <= 0)}
    if error > 0:
        t, half = difference / error, error * student_quantile(0.5 + level / 2, df)
        told.update(t=t, low=difference - half, high=difference + half,
                    p=2 * student_cdf(-abs(t), df), p_greater=student_cdf(-t, df))
    return told


def welch(a, b, level=0.95):
    """Two independent samples of 2 or more, whose variances may differ. "p" is two-sided,
    "p_greater" that of mean(a) > mean(b); "low" and "high" bound the difference."""
    of_a, of_b = (statistics.variance(x) / len(x) for x in (a, b))
    both = of_a + of_b
    df = (both * both / (of_a * of_a / (len(a) - 1) + of_b * of_b / (len(b) - 1)) if both > 0
          else len(a) + len(b) - 2)
    return _judge(statistics.mean(a) - statistics.mean(b), math.sqrt(both), df, level)


def paired(a, b, level=0.95):
    """Pairs a[i], b[i], 2 or more: Student's test of their differences; as welch."""
    if len(a) != len(b):
        raise ValueError("pairs of %d and %d" % (len(a), len(b)))
    apart = [x - y for x, y in zip(a, b)]
    return _judge(statistics.mean(apart), math.sqrt(statistics.variance(apart) / len(apart)),
                  len(apart) - 1, level)


def holm(p):
    """Holm's correction of tests made at once: the level at which each would be rejected."""
    adjusted, most = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        most = max(most, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = most
    return adjusted


def bootstrap(a, b, level=0.95, rounds=10000, seed=1):
    """The middle `level` of mean(a) - mean(b) when units are drawn anew with replacement."""
    r = random.Random(seed)
    a_mean, b_mean = ((lambda x=x: statistics.fmean(r.choices(x, k=len(x)))) for x in (a, b))
    drawn = sorted(a_mean() - b_mean() for _ in range(rounds))
    cut = (1 - level) / 2
    return drawn[int(cut * rounds)], drawn[min(rounds - 1, int((1 - cut) * rounds))]
