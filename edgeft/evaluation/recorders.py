"""From a meter to the joules of a window: counters at its edges, sampled watts and power logs over its length."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeft.evaluation.meters.kinds import Counter, Log, Meter, Power
from edgeft.evaluation.meters.sampler import Sampler
from edgeft.evaluation.meters.world import ReadError
from edgeft.evaluation.trace import Span, Trace, clock_offset_s

# A hole in the samples longer than this, and than some sampling intervals, spoils a window.
_GAP_S, _GAP_INTERVALS = 1.0, 5
# External clocks are brought to within this (MLPerf Power's policy, scaled to windows of a minute).
_CLOCK_S = 0.2
# Longest that the last lines of a power log are waited for.
_LOG_LATE_S = 30


@dataclass(frozen=True)
class Edge:
    """A moment on our clock in seconds, and the counter then."""

    at_s: float
    joules: float | None = None


@dataclass(frozen=True)
class Window:
    """What lies between two edges. samples: of a sampler or log; steps: least steps a counter moved by."""

    joules: float
    s: float
    samples: int | None = None
    steps: float | None = None

    @property
    def watts(self) -> float:
        return self.joules / self.s


class Recorder(Protocol):
    """What the energy pass sees of a meter; tests put one with known joules here."""

    def start(self) -> None:
        """Raises ReadError."""
        ...

    def edge(self) -> Edge: ...

    def failure(self) -> str | None:
        """Why it gives nothing any more, or None."""
        ...

    def catch_up(self) -> None:
        """Before `stop`: `window` and `trace` know what was recorded so far, where that can be known yet."""
        ...

    def stop(self) -> None: ...

    def align(self, steps: Sequence[tuple[Span, Span]]) -> float | None:
        """After `stop`: bring a foreign clock in line with (idle, load) spans; its offset in s. Raises ReadError."""
        ...

    def window(self, start: Edge, end: Edge, trim: bool = True) -> Window:
        """After `stop`. Raises ReadError where there is no figure; never makes one up."""
        ...

    def trace(self) -> Trace | None:
        """After `stop`: the samples, where there are some."""
        ...


class CounterRecorder:
    """Reads at the edges, and between them often enough that no wrap is missed."""

    def __init__(self, meter: Counter, clock: Callable[[], int]) -> None:
        self._meter, self._clock = meter, clock
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._failure: str | None = None

    def start(self) -> None:
        self._read()
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def _keep_alive(self) -> None:
        while not self._stopped.wait(max(self._meter.keep_alive_s, 1.0)):
            self._read_or_fail()

    def _read(self) -> float:
        with self._lock:
            return self._meter.joules()

    def _read_or_fail(self) -> float | None:
        try:
            return self._read()
        except ReadError as error:
            self._failure = self._failure or str(error)
            return None

    def edge(self) -> Edge:
        joules = self._read_or_fail()
        return Edge(self._clock() / 1e9, joules)

    def failure(self) -> str | None:
        return self._failure

    def catch_up(self) -> None:
        """Every edge holds its joules."""

    def stop(self) -> None:
        self._stopped.set()

    def align(self, steps: Sequence[tuple[Span, Span]]) -> float | None:
        return None

    def window(self, start: Edge, end: Edge, trim: bool = True) -> Window:
        if start.joules is None or end.joules is None:
            raise ReadError(self._failure or "the counter was not read")
        joules = end.joules - start.joules
        return Window(joules, end.at_s - start.at_s, steps=joules / self._meter.lsb_j)

    def trace(self) -> Trace | None:
        return None


class SampledRecorder:
    """Watts from a process of their own, on our clock."""

    def __init__(self, meter: Power, sampler: Sampler, clock: Callable[[], int]) -> None:
        self._meter, self._sampler, self._clock = meter, sampler, clock
        self._trace, self._last_s = Trace([], []), 0.0
        self._failure: str | None = None

    def start(self) -> None:
        self._sampler.start()

    def edge(self) -> Edge:
        self._last_s = self._clock() / 1e9
        return Edge(self._last_s)

    def failure(self) -> str | None:
        self._failure = self._failure or self._sampler.failure()
        return self._failure

    def catch_up(self) -> None:
        self._trace = Trace(*self._sampler.samples())

    def stop(self) -> None:
        self.failure()
        self._trace = Trace(*self._sampler.stop(self._last_s))

    def align(self, steps: Sequence[tuple[Span, Span]]) -> float | None:
        return None

    def window(self, start: Edge, end: Edge, trim: bool = True) -> Window:
        cut = max(self._meter.trim_s, 1 / self._meter.hz) if trim else 0.0
        return _sampled(self._trace, start, end, cut, 1 / self._meter.hz)

    def trace(self) -> Trace | None:
        return self._trace


class LogRecorder:
    """Watts another device wrote down; its clock is brought in line with the steps of power that we caused."""

    def __init__(
        self, meter: Log, clock: Callable[[], int], unix_s: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._meter, self._clock, self._unix_s, self._sleep = meter, clock, unix_s, sleep
        self._to_unix_s, self._interval_s = 0.0, 1.0
        self._trace = Trace([], [])

    def start(self) -> None:
        self._to_unix_s = self._unix_s() - self._clock() / 1e9

    def edge(self) -> Edge:
        return Edge(self._clock() / 1e9)

    def failure(self) -> str | None:
        return None

    def catch_up(self) -> None:
        """Nothing is known before the clocks are in line, which takes the whole log."""

    def stop(self) -> None:
        """Waits until the log goes on beyond this moment: who writes it may hold back its last lines, and with its
        clock unknown, only that it has grown shows that it has caught up."""
        times_s, watts = self._meter.trace()
        reached_s = times_s[-1] if times_s else 0.0
        for _ in range(_LOG_LATE_S):
            if times_s and times_s[-1] >= reached_s + 1.0:
                break
            self._sleep(1.0)
            times_s, watts = self._meter.trace()
        self._trace = Trace([at - self._to_unix_s for at in times_s], watts)

    def align(self, steps: Sequence[tuple[Span, Span]]) -> float | None:
        offset = clock_offset_s(self._trace, steps)
        self._trace = Trace(list(self._trace.times_s - offset), list(self._trace.watts))
        self._interval_s = statistics.median(np.diff(self._trace.times_s).tolist())
        return offset

    def window(self, start: Edge, end: Edge, trim: bool = True) -> Window:
        cut = max(2 * self._interval_s, _CLOCK_S) if trim else 0.0
        return _sampled(self._trace, start, end, cut, self._interval_s)

    def trace(self) -> Trace | None:
        return self._trace


def _sampled(trace: Trace, start: Edge, end: Edge, cut_s: float, interval_s: float) -> Window:
    """The mean power of the trimmed window, times its whole length: queries run steadily from edge to edge."""
    span = (start.at_s + cut_s, end.at_s - cut_s)
    mean_w = trace.mean_w(span)
    gap_s = trace.largest_gap_s(span)
    if gap_s > max(_GAP_S, _GAP_INTERVALS * interval_s):
        raise ReadError(f"no sample came for {gap_s:.1f} s")
    seconds = end.at_s - start.at_s
    return Window(mean_w * seconds, seconds, samples=len(trace.inside(span)))


def recorder_for(meter: Meter, asked: str, clock: Callable[[], int], root: Path = Path("/")) -> Recorder:
    """The recorder for `meter`, which the user writes as `asked`."""
    if isinstance(meter, Counter):
        return CounterRecorder(meter, clock)
    if isinstance(meter, Power):
        return SampledRecorder(meter, Sampler(asked, root), clock)
    if isinstance(meter, Log):
        return LogRecorder(meter, clock)
    raise TypeError(f"the meter {asked} counts no joules, gives no watts and is no log")
