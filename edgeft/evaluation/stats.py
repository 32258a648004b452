"""Intervals and verdicts: paired accuracy, block ratios, drift. numpy only, every formula with its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_975 = 1.959964
# Normal quantile of 80 % power.
Z_80 = 0.841621
# Two-sided 95 % quantiles of Student's t by degrees of freedom; the device has no scipy.
_T_975 = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201,
    12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086, 21: 2.080,
    22: 2.074, 23: 2.069, 24: 2.064, 29: 2.045, 39: 2.023, 59: 2.001,
}  # fmt: skip


def t_975(df: int) -> float:
    """Student's t quantile; between tabled values the one of fewer degrees of freedom (a wider interval)."""
    if df < 1:
        raise ValueError("an interval needs at least 2 values")
    return _T_975[max(known for known in _T_975 if known <= df)]


def mean_interval(values: Sequence[float], shared: float = 0.0) -> tuple[float, float, float]:
    """Mean of repeated measurements with its 95 % t interval (mean, low, high).

    shared  0 for independent ones; where each value is measured on another split of the same examples, test examples
            over training examples: the variance of the mean is then (1 / n + shared) of that of the values (Nadeau and
            Bengio 2003, "Inference for the generalization error", section 3)
    """
    data, n = np.asarray(values, dtype=np.float64), len(values)
    half = t_975(n - 1) * float(data.std(ddof=1)) * math.sqrt(1 / n + shared)
    return float(data.mean()), float(data.mean()) - half, float(data.mean()) + half


@dataclass(frozen=True)
class Ratio:
    """Geometric mean of paired ratios with its 95 % interval; `low`/`high` are None for a single pair."""

    point: float
    low: float | None
    high: float | None
    n: int


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """t interval on ln(numerator_k / denominator_k), one pair a block: robust to noise shared within a block."""
    logs = np.log(np.asarray(numerators, dtype=np.float64) / np.asarray(denominators, dtype=np.float64))
    mean, n = float(logs.mean()), len(logs)
    if n < 2:
        return Ratio(math.exp(mean), None, None, n)
    half = t_975(n - 1) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n)


@dataclass(frozen=True)
class Paired:
    """Two models on the same samples. b: baseline right, new wrong; c: the other way round."""

    b: int
    c: int
    n: int
    diff: float
    low: float
    high: float

    @property
    def discordant_share(self) -> float:
        return (self.b + self.c + 1) / (self.n + 2)


def paired_difference(b: int, c: int, n: int) -> Paired:
    """Difference of two paired proportions, (c - b) / n, with the Agresti-Min 95 % interval.

    Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions": 0.5 is added to
    each of the four cells.
    """
    b_, c_, n_ = b + 0.5, c + 0.5, n + 2
    centre = (c_ - b_) / n_
    error = math.sqrt((b_ + c_) - (b_ - c_) ** 2 / n_) / n_
    return Paired(b, c, n, (c - b) / n, centre - Z_975 * error, centre + Z_975 * error)


def count_discordant(baseline: NDArray[np.bool_], new: NDArray[np.bool_]) -> tuple[int, int]:
    """(b, c) of two right/wrong vectors [n] over the same samples."""
    return int(np.sum(baseline & ~new)), int(np.sum(~baseline & new))


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927): never outside 0..1, and no point where all or none is right."""
    share, z2 = right / n, Z_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_975 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def verdict(low: float, high: float, margin: float) -> str:
    """Non-inferiority: "not worse" only when the whole interval lies above -margin."""
    if low > -margin:
        return "not worse"
    return "worse" if high < 0 else "undecided"


def samples_needed(discordant_share: float, margin: float) -> int | None:
    """Samples with which a truly equal model would be shown not worse 80 % of the time; None for margin 0."""
    if margin <= 0:
        return None
    return math.ceil((Z_975 + Z_80) ** 2 * discordant_share / margin**2)


def mcnemar(b: int, c: int) -> float:
    """Two-sided exact McNemar p: 2 P(X <= min(b, c)), X ~ Bin(b + c, 1/2), at most 1."""
    n = b + c
    if n == 0:
        return 1.0
    log_half = -n * math.log(2)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + log_half for i in range(min(b, c) + 1)]
    return min(1.0, 2 * sum(map(math.exp, logs)))


def bootstrap_difference(
    metric: Callable[[NDArray[np.intp]], float], n: int, seed: int, draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile interval of a paired difference that is no mean over samples (macro-F1).

    `metric(rows)` is new minus baseline on the sample rows given: one resample serves both models.
    """
    rng = np.random.default_rng(seed)
    values = np.sort([metric(rng.integers(0, n, n)) for _ in range(draws)])
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def bootstrap_counts(
    metric: Callable[[NDArray[Any]], NDArray[np.float64]],
    baseline: NDArray[np.int64],
    new: NDArray[np.int64],
    seed: int,
    draws: int = 2000,
) -> NDArray[np.float64]:
    """Differences of a metric of sums over `draws` resamples of the examples, the same resample for both, [draws].

    baseline, new   counts [examples, k]; `metric` takes sums [..., k] of them
    """
    rng = np.random.default_rng(seed)
    n = len(baseline)
    both = np.concatenate([baseline, new], axis=1).astype(np.float64)
    sums = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) @ both for _ in range(draws)])
    return metric(sums[:, baseline.shape[1] :]) - metric(sums[:, : baseline.shape[1]])


def samples_needed_for(error: float, n: int, margin: float) -> int | None:
    """As `samples_needed`, from the standard error of the difference on n samples; None for margin 0."""
    if margin <= 0:
        return None
    return math.ceil(n * ((Z_975 + Z_80) * error / margin) ** 2)


def macro_f1(predicted: NDArray[np.int64], labels: NDArray[np.int64], n_labels: int) -> float:
    """Mean F1 of the labels that occur in `labels` or `predicted`."""
    hits = np.bincount(labels[predicted == labels], minlength=n_labels)
    both = np.bincount(labels, minlength=n_labels) + np.bincount(predicted, minlength=n_labels)
    seen = both > 0
    return float(np.mean(2 * hits[seen] / both[seen])) if seen.any() else 0.0


def spearman(values: Sequence[float]) -> float:
    """Rank correlation of `values` with their order; ties share ranks; 0 when all are equal."""
    return rank_correlation(np.arange(len(values)), values)


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's; ties share ranks; 0 where all values of one are equal, or there are fewer than two."""
    a, b = (_ranks(np.asarray(values, dtype=np.float64).ravel()) for values in (one, other))
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = (last - counts + 1 + last) / 2
    return np.asarray(mean_rank[inverse], dtype=np.float64)


def coefficient_of_variation(values: Sequence[float]) -> float:
    data = np.asarray(values, dtype=np.float64)
    return float(data.std(ddof=1) / data.mean()) if len(data) > 1 else 0.0


def outliers(values: NDArray[Any]) -> int:
    """How many values lie beyond a modified Z of 14.826, hyperfine's bound; they are counted and kept."""
    median = np.median(values)
    mad = np.median(np.abs(values - median))
    if mad == 0:
        return 0
    return int(np.sum(np.abs(0.6745 * (values - median) / mad) > 14.826))
