"""Statistics against published vectors, hand-made values and seeded simulation."""

import math

import numpy as np
import pytest

from edgeft.evaluation import stats

PAIRED = [
    (12, 8, 1000, -0.0040, -0.012952, 0.004968, 0.503445),
    (30, 25, 5000, -0.0010, -0.003932, 0.001933, 0.590053),
    (0, 0, 500, 0.0, -0.003904, 0.003904, 1.0),
    (5, 0, 1000, -0.0050, -0.009771, -0.000209, 0.0625),
    (6, 0, 1000, -0.0060, -0.011150, -0.000826, 0.03125),
    (40, 10, 2000, -0.0150, -0.021946, -0.008024, 0.000024),
]


@pytest.mark.parametrize("b,c,n,diff,low,high,p", PAIRED)
def test_paired_difference_and_mcnemar(b, c, n, diff, low, high, p):
    paired = stats.paired_difference(b, c, n)
    assert paired.diff == pytest.approx(diff, abs=1e-12)
    assert paired.low == pytest.approx(low, abs=1e-6)
    assert paired.high == pytest.approx(high, abs=1e-6)
    assert stats.mcnemar(b, c) == pytest.approx(p, abs=1e-6)


def test_verdicts():
    assert stats.verdict(-0.009, 0.004, margin=0.01) == "not worse"
    assert stats.verdict(-0.02, -0.011, margin=0.01) == "worse"
    assert stats.verdict(-0.012, 0.005, margin=0.01) == "undecided"
    # Surely a little worse, and surely within the margin: not worse by more than was allowed.
    assert stats.verdict(-0.009, -0.001, margin=0.01) == "not worse"


def test_fifty_images_never_prove_equality():
    # M17: 1 of 50 answers changed; the interval is far wider than one point.
    paired = stats.paired_difference(1, 0, 50)
    assert stats.verdict(paired.low, paired.high, 0.01) == "undecided"
    assert paired.low < -0.06


@pytest.mark.parametrize("share,margin,n", [(0.01, 0.01, 785), (0.02, 0.005, 6280), (0.08, 0.02, 1570)])
def test_samples_needed(share, margin, n):
    # The table rounds to the nearest sample; a need is rounded up.
    assert stats.samples_needed(share, margin) - n in (0, 1)
    assert stats.samples_needed(share, 0.0) is None


def test_discordant_counts():
    baseline = np.array([True, True, False, False, True])
    new = np.array([True, False, True, False, False])
    assert stats.count_discordant(baseline, new) == (2, 1)


def test_ratio_vector():
    ratio = stats.paired_ratio([10.2, 10.0, 10.1, 10.4, 10.0], [5.0, 5.1, 5.0, 5.1, 4.9])
    assert ratio.point == pytest.approx(2.01993, abs=1e-5)
    assert ratio.low == pytest.approx(1.97736, abs=1e-5)
    assert ratio.high == pytest.approx(2.06341, abs=1e-5)


def test_one_block_has_no_interval():
    assert stats.paired_ratio([2.0], [1.0]) == stats.Ratio(2.0, None, None, 1)


def test_t_between_tabled_values_takes_the_wider():
    assert stats.t_975(4) == 2.776
    assert stats.t_975(27) == 2.064
    assert stats.t_975(1000) == 2.001
    with pytest.raises(ValueError):
        stats.t_975(0)


def test_macro_f1_by_hand():
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # class 0: precision 1, recall 1/2 -> 2/3; class 1: precision 2/3, recall 1 -> 4/5; class 2 does not occur
    assert stats.macro_f1(predicted, labels, 3) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval():
    values = np.random.default_rng(1).normal(0.1, 1.0, 400)
    low, high = stats.bootstrap_difference(lambda rows: float(values[rows].mean()), 400, seed=3)
    half = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_spearman():
    assert stats.spearman([1.0, 2.0, 5.0, 9.0]) == pytest.approx(1.0)
    assert stats.spearman([9.0, 5.0, 2.0, 1.0]) == pytest.approx(-1.0)
    assert stats.spearman([3.0, 3.0, 3.0]) == 0.0
    # ranks of 2 1 4 3 5 -> 1 - 6 * (1 + 1 + 1 + 1 + 0) / (5 * 24)
    assert stats.spearman([2.0, 1.0, 4.0, 3.0, 5.0]) == pytest.approx(0.8)


def test_outliers_are_counted():
    values = np.array([10, 11, 10, 9, 10, 11, 9, 500])
    assert stats.outliers(values) == 1
    assert stats.outliers(np.full(9, 7)) == 0


def test_equal_models_are_rarely_called_faster_or_slower():
    # A/A: 10 ABBA blocks, 1 % noise a block; at most 6 % of nominal 95 % intervals may leave out 1.
    rng = np.random.default_rng(7)
    trials, alarms = 4000, 0
    for _ in range(trials):
        a, b = 10 * np.exp(rng.normal(0, 0.01, (2, 10)))
        ratio = stats.paired_ratio(a, b)
        alarms += not ratio.low <= 1 <= ratio.high
    assert 0.035 < alarms / trials <= 0.06


def test_interval_covers_under_drift_when_the_blocks_alternate():
    # 3 % thermal drift over the run; ABBA keeps the truth inside, A then B does not.
    rng = np.random.default_rng(11)
    covered = {"abba": 0, "a then b": 0}
    trials, blocks = 1000, 10
    for _ in range(trials):
        speed = 1 + 0.03 * np.arange(2 * blocks) / (2 * blocks)
        noise = np.exp(rng.normal(0, 0.01, 2 * blocks))
        position = np.arange(blocks)
        first = 2 * position + np.array([0, 1, 1, 0] * 5)[:blocks]
        abba = (first, 4 * position + 1 - first)
        in_turn = (position, position + blocks)
        for name, (at_a, at_b) in {"abba": abba, "a then b": in_turn}.items():
            ratio = stats.paired_ratio(2.0 * speed[at_a] * noise[at_a], speed[at_b] * noise[at_b])
            covered[name] += ratio.low <= 2.0 <= ratio.high
    assert covered["abba"] / trials > 0.93
    assert covered["a then b"] / trials < 0.5


@pytest.mark.parametrize("n,changed", [(500, 0.05), (1000, 0.02), (2000, 0.02), (5000, 0.05)])
def test_a_model_worse_by_the_margin_rarely_passes(n, changed):
    # Truly 1 point worse with a 1 point margin: nominally 2.5 % pass; with 20 discordant samples, whose count is
    # skewed, it is about 3.4 %, and at most 4 % is what is promised here.
    rng = np.random.default_rng(5)
    worse, better = (changed + 0.01) / 2, (changed - 0.01) / 2
    counts = rng.multinomial(n, [worse, better, 1 - worse - better], size=4000)
    passed = [stats.paired_difference(int(b), int(c), n).low > -0.01 for b, c, _ in counts]
    assert np.mean(passed) <= 0.04


def paired_coverage(interval, n, worse, better, trials=6000, seed=3):
    """Share of simulated evaluations whose interval holds the true difference `better - worse`."""
    counts = np.random.default_rng(seed).multinomial(n, [worse, better, 1 - worse - better], size=trials)
    held = [interval(int(b), int(c), n) for b, c, _ in counts]
    return np.mean([low <= better - worse <= high for low, high in held])


def agresti_min(b, c, n):
    found = stats.paired_difference(b, c, n)
    return found.low, found.high


def wald(b, c, n):
    half = stats.Z_975 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return (c - b) / n - half, (c - b) / n + half


@pytest.mark.parametrize(
    "n,worse,better", [(300, 0.01, 0.01), (300, 0.02, 0.01), (1000, 0.02, 0.02), (5000, 0.03, 0.02)]
)
def test_the_paired_interval_covers_the_truth(n, worse, better):
    # design: 95 to 97 %, more where few answers change
    assert 0.943 <= paired_coverage(agresti_min, n, worse, better) <= 0.995


def test_the_simulation_tells_a_poor_interval():
    # Wald's, at n = 300 with a real loss of a point, misses too often (design: 92.6 %)
    assert paired_coverage(wald, 300, 0.02, 0.01) < 0.94


def test_so_many_samples_show_equality_four_times_in_five():
    n = stats.samples_needed(0.02, 0.01)  # 1,570
    counts = np.random.default_rng(2).multinomial(n, [0.01, 0.01, 0.98], size=4000)
    passed = [stats.paired_difference(int(b), int(c), n).low > -0.01 for b, c, _ in counts]
    assert np.mean(passed) == pytest.approx(0.80, abs=0.03)


def test_false_alarms_of_mcnemar_keep_to_their_share():
    # equal models, 40 discordant samples: at most 5 % of exact p values lie below 0.05
    b = np.random.default_rng(4).binomial(40, 0.5, size=4000)
    alarms = np.mean([stats.mcnemar(int(k), 40 - int(k)) < 0.05 for k in b])
    assert 0.02 < alarms <= 0.05


def test_counts_are_resampled_as_single_examples_are():
    """The mean of right answers as a metric of sums: (right, 1) of each example. Same seed, same resamples."""
    rng = np.random.default_rng(5)
    before, after = rng.random(60) < 0.8, rng.random(60) < 0.7
    counts = [np.stack([right, np.ones(60)], axis=1).astype(np.int64) for right in (before, after)]
    found = stats.bootstrap_counts(lambda sums: sums[..., 0] / sums[..., 1], *counts, seed=3, draws=500)
    by_rows = stats.bootstrap_difference(lambda rows: after[rows].mean() - before[rows].mean(), 60, 3, 500)
    assert (np.quantile(found, 0.025), np.quantile(found, 0.975)) == pytest.approx(by_rows, abs=1e-12)


def test_samples_needed_grow_with_the_square_of_the_error():
    # error 1 point on 100 samples, margin 1 point: 100 * (1.959964 + 0.841621)^2 = 784.9
    assert stats.samples_needed_for(0.01, 100, 0.01) == 785
    assert stats.samples_needed_for(0.02, 100, 0.01) == 3140
    assert stats.samples_needed_for(0.01, 100, 0.0) is None


def test_the_interval_of_a_mean_by_hand() -> None:
    mean, low, high = stats.mean_interval([0.5, 0.7, 0.9])
    # s = 0.2, t(2) = 4.303: half = 4.303 * 0.2 / sqrt(3)
    assert (mean, high - mean) == (pytest.approx(0.7), pytest.approx(0.49687, abs=1e-4))
    assert mean - low == pytest.approx(high - mean)
    # splits that share examples, 10 in test and 80 in train: sqrt(1/3 + 1/8) in place of sqrt(1/3)
    _, low, _ = stats.mean_interval([0.5, 0.7, 0.9], 10 / 80)
    assert mean - low == pytest.approx(4.303 * 0.2 * (1 / 3 + 1 / 8) ** 0.5, abs=1e-4)
    with pytest.raises(ValueError, match="at least 2 values"):
        stats.mean_interval([0.5])
