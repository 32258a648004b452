"""Latency percentiles: the plain one, and MLPerf's early-stopping estimate.

The estimate is an upper confidence bound: with 99 % confidence at least the share p of all queries is as fast as it
says. Rule from mlcommons/inference, loadgen/early_stopping.cc and results.cc (confidence 0.99, tolerance 0).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.99


def plain(values: NDArray[Any], p: float) -> float:
    """LoadGen's percentile of unsorted `values` [n]: the sorted value at index int(n * p), 0-based."""
    ordered = np.sort(values)
    return float(ordered[min(int(len(ordered) * p), len(ordered) - 1)])


def binomial_cdf(successes: int, trials: int, q: float) -> float:
    """P(X <= successes) for X ~ Bin(trials, q).

    Summed from the largest term of the lower tail downwards until a term no longer counts, so that millions of
    trials stay cheap and exact.
    """
    if successes >= trials:
        return 1.0
    total = 0.0
    log_q, log_not_q = math.log(q), math.log1p(-q)
    log_fact_n = math.lgamma(trials + 1)
    for i in range(successes, -1, -1):
        log_choose = log_fact_n - math.lgamma(i + 1) - math.lgamma(trials - i + 1)
        term = math.exp(log_choose + i * log_q + (trials - i) * log_not_q)
        total += term
        # Terms fall monotonically only below the mode; above it an early stop would cut the sum short.
        if i < trials * q and term < 1e-16 * total:
            break
    return min(total, 1.0)


def discarded(n: int, p: float, confidence: float = CONFIDENCE) -> int | None:
    """t*: the largest t >= 1 with BinomCDF(t; n, 1-p) <= 1 - confidence, or None when n is too small.

    The CDF grows with t, so t* is found by bisection. LoadGen logs t* - 1 discarded latencies.
    """

    def allowed(t: int) -> bool:
        return binomial_cdf(t, n, 1 - p) <= 1 - confidence

    if n < 2 or not allowed(1):
        return None
    low, high = 1, max(2, math.ceil(n * (1 - p)) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low


def early_stopping(values: NDArray[Any], p: float) -> float | None:
    """The early-stopping estimate of percentile `p` of unsorted `values` [n]; None when n is too small."""
    t = discarded(len(values), p)
    if t is None:
        return None
    return float(np.sort(values)[len(values) - t])


def queries_needed(p: float, confidence: float = CONFIDENCE) -> int:
    """Smallest n for which percentile `p` has an estimate (p90: 64, p99: 662)."""
    high = 2
    while discarded(high, p, confidence) is None:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if discarded(middle, p, confidence) is None else (low, middle)
    return high
