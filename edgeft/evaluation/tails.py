"""The ratio of a high percentile: pairs of blocks are drawn anew, and the pooled percentile of each draw computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation import percentile
from edgeft.evaluation.stats import Ratio

_DRAWS = 2000
# Latencies a percentile may take in a draw: all of them up to so many, else evenly spaced ones (0.025 % of the ranks).
_GRID = 4096
# Draws held at a time: 100 x 4,096 counts are 3 MB.
_AT_ONCE = 100


def tail_ratio(
    numerators: Sequence[NDArray[Any]], denominators: Sequence[NDArray[Any]], p: float, seed: int
) -> Ratio | None:
    """Percentile `p` of all `numerators` over that of all `denominators`, with a 95 % bootstrap interval.

    Both are blocks of latencies, paired by position: one draw of blocks serves both, since the two blocks of a pair
    saw the same machine. None when either has too few queries for percentile `p`, or there is a single pair.
    """
    fewest = min(sum(map(len, numerators)), sum(map(len, denominators)))
    k = len(numerators)
    if k < 2 or fewest < percentile.queries_needed(p):
        return None
    weights = np.random.default_rng(seed).multinomial(k, [1 / k] * k, size=_DRAWS)
    drawn = np.sort(_percentiles(numerators, weights, p) / _percentiles(denominators, weights, p))
    point = percentile.plain(np.concatenate(numerators), p) / percentile.plain(np.concatenate(denominators), p)
    return Ratio(point, float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975)), k)


def _percentiles(blocks: Sequence[NDArray[Any]], weights: NDArray[Any], p: float) -> NDArray[np.float64]:
    """The plain percentile of each draw, in which block i counts `weights[draw, i]` times. [draws]"""
    pooled = np.sort(np.concatenate(blocks))
    grid = np.unique(pooled[np.linspace(0, len(pooled) - 1, min(len(pooled), _GRID)).round().astype(np.intp)])
    below = np.stack([np.searchsorted(np.sort(block), grid, side="right") for block in blocks])
    sizes = weights @ np.array([len(block) for block in blocks])
    needed = np.minimum((sizes * p).astype(np.int64), sizes - 1) + 1
    found = np.empty(len(weights), np.float64)
    for start in range(0, len(weights), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        found[rows] = grid[np.argmax(weights[rows] @ below >= needed[rows, None], axis=1)]
    return found
