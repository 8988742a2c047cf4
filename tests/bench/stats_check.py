"""scripts/bench/stats.py against values of scipy 1.17.1, as search/test_stats.c has them."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/bench"))
import stats  # noqa: E402 # it lies elsewhere


def near(got, want):
    assert abs(got - want) <= 1e-10 * (1 + abs(want)), (got, want)


for t, df, want in ((0.5, 1, 0.6475836176504333), (-2.0, 3.7, 0.06090860095261699),
                    (2.776, 4, 0.9749886108400118), (6.0, 30, 0.9999993028615617), (0, 5, 0.5)):
    near(stats.student_cdf(t, df), want)
for p, df, want in ((0.975, 1, 12.706204736174694), (0.975, 7.3, 2.345066736547703),
                    (0.05, 9, -1.8331129326562376), (0.995, 200, 2.600634436191558)):
    near(stats.student_quantile(p, df), want)

w = stats.welch([89.07, 88.50, 89.08], [89.24, 88.81, 89.23, 88.07])
for key, want in (("t", 0.13681041775055966), ("df", 4.89252701941135), ("p", 0.8966316231854368),
                  ("low", -0.8210673452376573), ("high", 0.9127340119042975),
                  ("p_greater", 0.8966316231854368 / 2)):
    near(w[key], want)
pair = ([71.2, 70.9, 71.8, 72.0, 70.4], [70.9, 70.95, 71.1, 71.3, 70.2])
d = stats.paired(*pair)
for key, want in (("t", 2.5292679299912635), ("p", 0.06471503910737643),
                  ("low", -0.0361589034289192), ("high", 0.7761589034289227),
                  ("p_greater", 0.06471503910737643 / 2)):
    near(d[key], want)
near(stats.paired(*reversed(pair))["p_greater"], 1 - 0.06471503910737643 / 2)

for got, want in zip(stats.holm([0.04, 0.01, 0.03, 0.6]), (0.09, 0.04, 0.09, 0.6)):
    near(got, want)
same = stats.welch([1, 1], [2, 2])  # numbers that do not vary leave nothing to chance
assert (same["p"], same["p_greater"], same["low"], same["high"]) == (0, 1, -1, -1)
same = stats.paired([1, 2], [1, 2])
assert (same["p"], same["p_greater"], same["low"], same["high"]) == (1, 1, 0, 0)

# uniform deviates of deviation sqrt(1/12), 40 and 40: 1.96 * sqrt(2/12/40) = 0.1265 to each side
a = [3 + (i * 7 % 40) / 39 for i in range(40)]
b = [(i * 11 % 40) / 39 for i in range(40)]
low, high = stats.bootstrap(a, b, rounds=4000)
assert abs(low - 2.8735) < 0.02 and abs(high - 3.1265) < 0.02, (low, high)
assert stats.bootstrap(a, b, rounds=4000) == (low, high)
