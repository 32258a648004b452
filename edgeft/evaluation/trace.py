"""Watts over time: joules between two moments, and how far a foreign clock is off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation.meters.world import ReadError

Span = tuple[float, float]
Floats = Sequence[float] | NDArray[np.float64]
# A clock further off than this is to be set, not corrected.
MOST_OFFSET_S = 10.0
_GRID_S, _BESIDE_STEP_S = 0.01, 10.0


class Trace:
    """Samples (seconds ascending, watts), joined by straight lines."""

    def __init__(self, times_s: Floats, watts: Floats) -> None:
        self.times_s = np.asarray(times_s, dtype=np.float64)
        self.watts = np.asarray(watts, dtype=np.float64)
        steps = np.diff(self.times_s) * (self.watts[1:] + self.watts[:-1]) / 2
        self._sum_j = np.concatenate([[0.0], np.cumsum(steps)]) if len(self.watts) else np.zeros(0)

    def _until_j(self, at_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joules from the first sample to each moment; NaN outside of the trace."""
        i = np.clip(np.searchsorted(self.times_s, at_s, side="right") - 1, 0, max(len(self.times_s) - 2, 0))
        into = at_s - self.times_s[i]
        slope = (self.watts[i + 1] - self.watts[i]) / (self.times_s[i + 1] - self.times_s[i])
        total = self._sum_j[i] + into * (self.watts[i] + slope * into / 2)
        outside = (at_s < self.times_s[0]) | (at_s > self.times_s[-1])
        return np.where(outside, np.nan, total)

    def means_w(self, span: Span, shifts_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean watts of `span` moved by each shift; NaN where the trace does not reach."""
        return (self._until_j(span[1] + shifts_s) - self._until_j(span[0] + shifts_s)) / (span[1] - span[0])

    def mean_w(self, span: Span) -> float:
        """Trapezoid rule on the real timestamps. Raises ReadError where samples are missing."""
        if len(self.times_s) < 2 or span[1] <= span[0]:
            raise ReadError("there are no samples in this window")
        mean = float(self.means_w(span, np.zeros(1))[0])
        if not np.isfinite(mean):
            raise ReadError("the samples do not reach over this window")
        return mean

    def inside(self, span: Span) -> NDArray[np.float64]:
        return self.watts[(self.times_s >= span[0]) & (self.times_s <= span[1])]

    def largest_gap_s(self, span: Span) -> float:
        """Between neighbouring samples around and inside `span`."""
        first = max(int(np.searchsorted(self.times_s, span[0], side="right")) - 1, 0)
        last = int(np.searchsorted(self.times_s, span[1], side="left"))
        gaps = np.diff(self.times_s[first : last + 1])
        return float(gaps.max()) if len(gaps) else float("inf")


def clock_offset_s(trace: Trace, steps: Sequence[tuple[Span, Span]]) -> float:
    """How far the trace's clock is ahead of ours, from steps of power at known moments.

    steps: (idle span, load span) that touch or nearly touch. The offset is where load less idle is largest; it falls
    off on both sides. Raises ReadError when no step is seen, or the clock is off by more than MOST_OFFSET_S.
    """
    shifts = np.arange(-MOST_OFFSET_S, MOST_OFFSET_S + _GRID_S / 2, _GRID_S)
    if len(trace.times_s) < 2 or not steps:
        raise ReadError("the power log has no samples")
    near = [_beside(idle, load) for idle, load in steps]
    rise = np.mean([trace.means_w(load, shifts) - trace.means_w(idle, shifts) for idle, load in near], axis=0)
    if not np.isfinite(rise).any():
        raise ReadError("the power log does not reach over the measured time; check the clock that wrote it")
    best = float(np.nanmax(rise))
    top = shifts[rise >= best - 1e-3 * abs(best)]
    offset = float(top.min() + top.max()) / 2
    if abs(offset) > MOST_OFFSET_S - 1:
        raise ReadError(f"the power log's clock is off by {MOST_OFFSET_S:.0f} s or more; set it (NTP)")
    noise = max(float(np.std(trace.inside((idle[0] + offset, idle[1] + offset)))) for idle, _ in near)
    if best <= 3 * noise:
        raise ReadError(f"the power log shows no step from idle to load ({best:.2g} W, noise {noise:.2g} W)")
    return offset


def _beside(idle: Span, load: Span) -> tuple[Span, Span]:
    """The ends that face each other, equally long: both sides of the maximum are then equally steep."""
    length = min(idle[1] - idle[0], load[1] - load[0], _BESIDE_STEP_S)
    if idle[0] < load[0]:
        return (idle[1] - length, idle[1]), (load[0], load[0] + length)
    return (idle[0], idle[0] + length), (load[1] - length, load[1])
