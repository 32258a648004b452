"""Timing queries: the one loop of the latency and the energy pass, in this process or in a model's own."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation.schedule import BlockRule


@dataclass(frozen=True)
class Pace:
    """How queries follow one another: at once (period 0), or one every `period_s`; each of `batch` examples."""

    period_s: float = 0.0
    batch: int = 1


class Ticks(Protocol):
    """clock: nanoseconds, monotonic; sleep: waits so many seconds."""

    @property
    def clock(self) -> Callable[[], int]: ...

    @property
    def sleep(self) -> Callable[[float], None]: ...


@dataclass(frozen=True)
class RealTicks:
    clock: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep


class InProcess:
    """What a model of this process shares with one in a process of its own; see edgeft.evaluation.session.Model."""

    call: Callable[[Any], Any]
    away_ns = 0

    def time(
        self, feeds: Sequence[Any], rule: BlockRule, pace: Pace, ticks: Ticks, first: int = 0
    ) -> NDArray[np.int64]:
        return time_queries(self.call, feeds, rule, pace, ticks, first)

    def close(self) -> None:
        """Its memory goes with the last name that holds it."""


def time_queries(
    call: Callable[[Any], Any], feeds: Sequence[Any], rule: BlockRule, pace: Pace, ticks: Ticks, first: int = 0
) -> NDArray[np.int64]:
    """Call `call` on `feeds` in turn until `rule` is content; nanoseconds of each call [n].

    first   which feed is the first, counted on through them
    """
    clock, count = ticks.clock, len(feeds)
    times = array("q")
    runs = 0
    start = clock()
    while True:
        if pace.period_s:
            _wait_until(start + round(runs * pace.period_s * 1e9), ticks)
        feed = feeds[(first + runs) % count]
        begin = clock()
        call(feed)
        end = clock()
        times.append(end - begin)
        runs += 1
        if rule.done(runs, (end - start) / 1e9):
            return np.frombuffer(times, dtype=np.int64)


def _wait_until(due_ns: int, ticks: Ticks) -> None:
    left = (due_ns - ticks.clock()) / 1e9
    if left > 0:
        ticks.sleep(left)
