"""Ranges of activations from a stream of batches, in constant memory.

A histogram over [-R, R) counts every value seen; R starts at the first batch's largest magnitude and doubles when a
value falls outside, which merges bins in pairs and loses nothing but resolution. The extremes are kept exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BINS = 4096
# Share of the values kept by the percentile method on each side (quantization.md 2.7: 99.99 %).
PERCENTILE = 0.9999


class RangeObserver:
    """Minimum, maximum and histogram of everything `add` saw. Values that are not finite are left out and counted."""

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0
        self.count = 0
        self.not_finite = 0
        self.reach = 0.0
        self.histogram = torch.zeros(BINS, dtype=torch.float64)

    def add(self, x: Tensor, histogram: bool = True) -> None:
        x = x.detach().float().flatten()
        low, high = torch.aminmax(x)
        if not torch.isfinite(low + high):
            finite = torch.isfinite(x)
            self.not_finite += int((~finite).sum())
            x = x[finite]
            if x.numel() == 0:
                return
            low, high = torch.aminmax(x)
        first = self.count == 0
        self.low = float(low) if first else min(self.low, float(low))
        self.high = float(high) if first else max(self.high, float(high))
        self.count += x.numel()
        if histogram:
            self._count(x, max(abs(float(low)), abs(float(high))))

    def _count(self, x: Tensor, reach: float) -> None:
        if self.reach == 0.0:
            self.reach = max(reach, 1e-12) * 1.0001
        while reach >= self.reach:
            quarter = BINS // 4
            merged = self.histogram.reshape(-1, 2).sum(1)
            self.histogram = torch.zeros(BINS, dtype=torch.float64)
            self.histogram[quarter : quarter + BINS // 2] = merged
            self.reach *= 2
        self.histogram += torch.histc(x, BINS, -self.reach, self.reach).double().cpu()

    def edges(self) -> Tensor:
        return torch.linspace(-self.reach, self.reach, BINS + 1, dtype=torch.float64)


Range = tuple[float, float]


def min_max(seen: RangeObserver, levels: int) -> Range:
    """Everything seen fits."""
    return seen.low, seen.high


def percentile(seen: RangeObserver, levels: int) -> Range:
    """PERCENTILE of the values lie below the upper bound and as many above the lower; never beyond the extremes."""
    share = seen.histogram.cumsum(0) / seen.histogram.sum().clamp(min=1)
    edges = seen.edges()
    upper = int(torch.searchsorted(share, torch.tensor(PERCENTILE, dtype=torch.float64)).clamp(max=BINS - 1))
    lower = int(torch.searchsorted(share, torch.tensor(1 - PERCENTILE, dtype=torch.float64), right=True))
    return max(seen.low, float(edges[min(lower, BINS - 1)])), min(seen.high, float(edges[upper + 1]))


def mean_squared_error(seen: RangeObserver, levels: int) -> Range:
    """The clipped range whose grid of `levels` values has the smallest expected squared error over the histogram.

    Both sides shrink together towards zero, in 80 steps down to a fifth of the range.
    """
    centre = (seen.edges()[:-1] + seen.edges()[1:]) / 2
    weight = seen.histogram
    best, best_error = (seen.low, seen.high), float("inf")
    for step in range(81):
        keep = 1 - step / 100
        low, high = min(0.0, seen.low) * keep, max(0.0, seen.high) * keep
        scale = max((high - low) / (levels - 1), 1e-12)
        nearest = ((centre.clamp(low, high) - low) / scale).round() * scale + low
        error = float(((nearest - centre) ** 2 * weight).sum())
        if error < best_error:
            best, best_error = (low, high), error
    return best


METHODS: dict[str, Callable[[RangeObserver, int], Range]] = {
    "minmax": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
}
