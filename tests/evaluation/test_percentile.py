"""The published vectors of MLPerf's early-stopping rule."""

import numpy as np
import pytest

from edgeft.evaluation import percentile

T_STAR = {
    0.5: {64: 22, 100: 37, 200: 83, 500: 223, 662: 300, 1000: 462, 1024: 474, 2000: 947, 5000: 2417, 10000: 4883},
    0.9: {64: 1, 100: 3, 200: 10, 500: 34, 662: 48, 1000: 78, 1024: 80, 2000: 168, 5000: 450, 10000: 930},
    0.95: {129: None, 130: 1, 1024: 35},
    0.99: {64: None, 661: None, 662: 1, 1000: 2, 1024: 3, 2000: 9, 5000: 33, 10000: 77},
}
CASES = [(p, n, t) for p, row in T_STAR.items() for n, t in row.items()]

# Published MLPerf logs: p90, number of queries -> discarded latencies.
LOGS = {2048: 172, 2116: 178, 15818: 1493, 27260: 2609, 71508: 6963, 4776846: 476158}


@pytest.mark.parametrize("p,n,t", CASES)
def test_t_star_matches_the_tabled_values(p, n, t):
    assert percentile.discarded(n, p) == t


@pytest.mark.parametrize("n,discards", LOGS.items())
def test_discards_match_published_logs(n, discards):
    assert percentile.discarded(n, 0.9) - 1 == discards


@pytest.mark.parametrize("p,n", [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_smallest_number_of_queries(p, n):
    assert percentile.queries_needed(p) == n


def test_the_estimate_at_the_smallest_n_is_the_maximum():
    values = np.arange(64, dtype=np.int64)[::-1]
    assert percentile.early_stopping(values, 0.9) == 63
    assert percentile.early_stopping(values[:63], 0.9) is None


def test_the_estimate_leaves_out_t_minus_one_values():
    # n = 100, p90: t* = 3, so the third largest of 0..99 is 97; the plain percentile is 90.
    values = np.random.default_rng(0).permutation(100)
    assert percentile.early_stopping(values, 0.9) == 97
    assert percentile.plain(values, 0.9) == 90
    assert percentile.plain(values, 0.5) == 50


def test_binomial_cdf_by_hand():
    # Bin(4, 1/2): P(X <= 1) = (1 + 4) / 16
    assert percentile.binomial_cdf(1, 4, 0.5) == pytest.approx(5 / 16)
    assert percentile.binomial_cdf(3, 4, 0.5) == pytest.approx(15 / 16)
    assert percentile.binomial_cdf(4, 4, 0.5) == 1.0


@pytest.mark.parametrize("p,n", [(0.9, 200), (0.99, 1000)])
def test_the_estimate_is_an_upper_bound_99_times_in_100(p, n):
    # uniform latencies: the true percentile is p itself
    draws = np.sort(np.random.default_rng(6).random((3000, n)), axis=1)
    held = draws[:, n - percentile.discarded(n, p)] >= p
    plain = draws[:, int(n * p)] >= p
    assert 0.985 <= held.mean() <= 1.0
    assert plain.mean() < 0.7  # the plain percentile is below the truth about as often as above
