"""Ranges of activations from a stream of batches, in constant memory.

A histogram counts every value by the first 16 bits of its float32: sign, exponent and seven bits of the mantissa. A
bin is so at most 1/128 of its value wide wherever it lies. One outlier, however large, costs the others no resolution,
and the order of the batches changes nothing. The extremes are kept exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Magnitudes from 2**-24 to 2**40 have bins of their own, 128 to a doubling; smaller ones count as zero.
_OCTAVES, _FIRST_EXPONENT, _PER_OCTAVE = 64, -24, 128
_SIDE = _OCTAVES * _PER_OCTAVE
BINS = 2 * _SIDE + 1
_FIRST_CODE = (127 + _FIRST_EXPONENT) * _PER_OCTAVE
# Values counted at a time: the integers they become take four times the memory of the values.
_CHUNK = 1 << 20
# Share of the values kept by the percentile method on each side (quantization.md 2.7: 99.99 %).
PERCENTILE = 0.9999


class RangeObserver:
    """Minimum, maximum and histogram of everything `add` saw. Values that are not finite are left out and counted.

    histogram  int64 [BINS], by value from the most negative to the most positive
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0
        self.count = 0
        self.not_finite = 0
        self.histogram = torch.zeros(BINS, dtype=torch.int64)

    def add(self, x: Tensor) -> None:
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
        for part in x.split(_CHUNK):
            self.histogram += torch.bincount(_bin_of(part), minlength=BINS).cpu()


def _bin_of(x: Tensor) -> Tensor:
    """Position in the histogram of each value of a contiguous float32 tensor."""
    bits = x.view(torch.int32)
    magnitude = bits.bitwise_and(0x7FFFFFFF).bitwise_right_shift_(16).sub_(_FIRST_CODE - 1).clamp_(0, _SIDE)
    return torch.where(bits < 0, _SIDE - magnitude, _SIDE + magnitude)


def _edges() -> Tensor:
    """[BINS + 1], ascending, float64; the bin in the middle holds zero."""
    codes = torch.arange(_FIRST_CODE, _FIRST_CODE + _SIDE + 1, dtype=torch.int32)
    side = codes.bitwise_left_shift(16).view(torch.float32).double()
    return torch.cat([-side.flip(0), side])


EDGES = _edges()
Range = tuple[float, float]


def min_max(seen: RangeObserver, levels: int) -> Range:
    """Everything seen fits."""
    return seen.low, seen.high


def percentile(seen: RangeObserver, levels: int) -> Range:
    """At most 1 - PERCENTILE of the values lie above the upper bound and as many below the lower; never beyond the
    extremes. A bound is the outer edge of its bin, so it may be 1/128 too wide and is never too narrow."""
    below = seen.histogram.cumsum(0)
    left_out = (1 - PERCENTILE) * seen.count
    lower = int(torch.searchsorted(below.double(), torch.tensor(left_out, dtype=torch.float64), right=True))
    upper = int(torch.searchsorted(below.double(), torch.tensor(seen.count - left_out, dtype=torch.float64)))
    return max(seen.low, float(EDGES[lower])), min(seen.high, float(EDGES[upper + 1]))


def mean_squared_error(seen: RangeObserver, levels: int) -> Range:
    """The range whose grid of `levels` values, zero among them, has the smallest expected squared error.

    What the percentile leaves out is left out here too: the square of one large outlier outweighs all other values.
    First everything beyond a magnitude is clipped, which is tried over twenty halvings; then each side is moved alone.
    """
    lowest, highest = percentile(seen, levels)
    top = max(-lowest, highest)
    if top <= 0.0:
        return lowest, highest
    points, weight = _points(seen, lowest, highest)

    def best(candidates: list[Range]) -> Range:
        bounds = torch.tensor(candidates, dtype=torch.float64)
        return candidates[int(_errors(points, weight, bounds, levels).argmin())]

    lowest, highest = min(0.0, lowest), max(0.0, highest)

    def clipped(magnitude: float) -> Range:
        return max(lowest, -magnitude), min(highest, magnitude)

    low, high = best([clipped(top * 2 ** (-step / 4)) for step in range(81)])
    low, high = best([clipped(max(-low, high) * 2 ** (step / 32)) for step in range(-8, 9)])
    low, high = best([(max(lowest, low * 2 ** (step / 16)), high) for step in range(-16, 9)])
    return best([(low, min(highest, high * 2 ** (step / 16))) for step in range(-16, 9)])


# Points a bin is tried at: at the upper end of an 8-bit range a bin is about as wide as a step of the grid.
_INSIDE = torch.tensor([1 / 8, 3 / 8, 5 / 8, 7 / 8], dtype=torch.float64)


def _points(seen: RangeObserver, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Values that stand for what was seen between two bounds, and how many each stands for: four a bin."""
    filled = seen.histogram.nonzero().flatten()
    filled = filled[(EDGES[filled] < high) & (EDGES[filled + 1] > low)]
    left, right = EDGES[filled, None], EDGES[filled + 1, None]
    points = (left + (right - left) * _INSIDE).clamp(low, high)
    # All that counts as zero is zero.
    points[filled == _SIDE] = 0.0
    return points.flatten(), seen.histogram[filled].double().repeat_interleave(len(_INSIDE)) / len(_INSIDE)


def _errors(points: Tensor, weight: Tensor, bounds: Tensor, levels: int) -> Tensor:
    """Squared error [candidates] of the grids of `bounds` [candidates, 2]."""
    low, high = bounds[:, :1], bounds[:, 1:]
    scale = ((high - low) / (levels - 1)).clamp(min=1e-30)
    code = (points / scale).round_().clamp_(min=(low / scale).round_(), max=(high / scale).round_())
    return code.mul_(scale).sub_(points).square_().mul_(weight).sum(1)


METHODS: dict[str, Callable[[RangeObserver, int], Range]] = {
    "minmax": min_max,
    "percentile": percentile,
    "mse": mean_squared_error,
}
# Of the values that are not zero this share is looked at, and so few codes for it, from so many distinct values, mean
# that nothing is left of them: an 8-bit grid gives a bell curve within its range some 200.
_SHARE, _FEWEST_CODES, _DISTINCT = 0.99, 8, 64


def collapsed(seen: RangeObserver, scale: float) -> int | None:
    """How many codes of a grid with this `scale` hold nearly all values, when they are so few that the range was set
    by outliers; None for a grid that serves its values."""
    filled = seen.histogram.nonzero().flatten()
    filled = filled[filled != _SIDE]
    counts = seen.histogram[filled]
    if _needed(counts) < _DISTINCT:
        return None
    codes = ((EDGES[filled] + EDGES[filled + 1]) / 2 / scale).round().unique(return_inverse=True)[1]
    used = _needed(torch.zeros(int(codes.max()) + 1, dtype=torch.int64).index_add_(0, codes, counts))
    return used if used < _FEWEST_CODES else None


def _needed(counts: Tensor) -> int:
    """How many of the largest counts make up _SHARE of all."""
    if len(counts) == 0:
        return 0
    largest = counts.sort(descending=True).values.cumsum(0)
    return int(torch.searchsorted(largest, int(_SHARE * int(largest[-1]))) + 1)
