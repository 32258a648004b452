"""A clock that moves only when something runs, and models with scripted speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Tools
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.timing import InProcess


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 0
        self.slept_s: list[float] = []

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)

    def tools(self, look: Callable[[], Snapshot] = Snapshot) -> Tools:
        return Tools(clock=self, sleep=self.sleep, look=look)


class FakeModel(InProcess):
    """Takes `seconds(run number)` a query and answers with fixed logits."""

    fixed_batch = None

    def __init__(self, clock: FakeClock, seconds: Callable[[int], float], dtype: str = "float32") -> None:
        self.inputs = {"pixel_values": dtype}
        self.runs = 0
        self.seen: list[float] = []
        self._clock, self._seconds = clock, seconds
        self.call = self._call

    def _call(self, feed):
        self._clock.now_ns += round(self._seconds(self.runs) * 1e9)
        self.runs += 1
        self.seen.append(float(feed["pixel_values"].flat[0]))
        return [np.zeros((len(feed["pixel_values"]), 2), dtype=np.float32)]


def shelf_of(models: dict[str, FakeModel], capacity: int | None = None) -> Shelf:
    return Shelf(models.__getitem__, list(models), capacity or len(models))


def windows_of(values: Iterable[float]):
    """One endless window with an example per value."""
    window = [(i, {"pixel_values": np.full((1, 1), v, np.float32)}) for i, v in enumerate(values)]
    while True:
        yield window
