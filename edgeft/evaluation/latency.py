"""The latency pass: alternating blocks of timed queries, one thread of control, nothing else running."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.errors import DataError
from edgeft.evaluation import percentile
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.samples import Arrays
from edgeft.evaluation.schedule import (
    SETTLE,
    WARM_AGREE,
    WARM_CAP_S,
    WARM_RUNS,
    WARM_S,
    WARM_STEP_S,
    BlockRule,
    block_rule,
    rounds,
)
from edgeft.evaluation.session import Feed, Model, feed_for, run_logits
from edgeft.evaluation.shelf import Shelf

Window = list[tuple[int, Arrays]]
# End-to-end queries of a block: this share of its time, at least so many (ten blocks of 8 allow a p90).
END_TO_END_SHARE, END_TO_END_RUNS = 0.15, 8


@dataclass(frozen=True)
class Tools:
    """What the pass touches outside itself; tests pass a fake clock and a fake machine.

    clock   nanoseconds, monotonic
    sleep   waits so many seconds
    look    the machine's state now
    """

    clock: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep
    look: Callable[[], Snapshot] = Snapshot.take


@dataclass(frozen=True)
class Block:
    """One block: its place in the run, its queries in nanoseconds, and the machine before and after."""

    order: int
    start_s: float
    queries_ns: NDArray[np.int64]
    end_to_end_ns: NDArray[np.int64]
    positions: NDArray[np.int64]
    before: Snapshot
    after: Snapshot

    @property
    def p50_s(self) -> float:
        return percentile.plain(self.queries_ns, 0.5) / 1e9


@dataclass
class Series:
    """All blocks of one variant."""

    warm_runs: int = 0
    warm_s: float = 0.0
    warm_stable: bool = True
    fixed_batch: int | None = None
    blocks: list[Block] = field(default_factory=list)

    def queries_ns(self) -> NDArray[np.int64]:
        return np.concatenate([block.queries_ns for block in self.blocks])

    def end_to_end_ns(self) -> NDArray[np.int64]:
        return np.concatenate([block.end_to_end_ns for block in self.blocks])

    def block_p50_s(self) -> list[float]:
        return [block.p50_s for block in self.blocks]


@dataclass(frozen=True)
class Pace:
    """How queries follow one another: at once (period 0), or one every `period_s`; each of `batch` examples."""

    period_s: float = 0.0
    batch: int = 1


def measure(
    shelf: Shelf,
    windows: Iterator[Window],
    end_to_end: Callable[[Model, int], Any],
    preset: Preset,
    pace: Pace,
    seed: int,
    tools: Tools,
    done_block: Callable[[str], None] = lambda name: None,
    names: Sequence[str] = (),
) -> dict[str, Series]:
    """Time `names`, by default every variant of `shelf`, in alternating blocks.

    windows      encoded examples, one window a round, the same for all variants
    end_to_end   (model, position) -> answer: reads, encodes, runs and decodes one example
    """
    names = names or shelf.names
    series = {name: Series() for name in names}
    window = next_window(windows)
    for name in names:
        _warm_up(shelf, name, window, series[name], pace, tools)
    rule, order, start_ns = block_rule(preset), 0, tools.clock()
    for turn in rounds(names, preset.blocks, seed):
        for name in turn:
            begin_s = (tools.clock() - start_ns) / 1e9
            block = _block(shelf.get(name), name, window, end_to_end, rule, pace, tools, order, begin_s)
            series[name].blocks.append(block)
            order += 1
            done_block(name)
        window = next_window(windows)
    return series


def next_window(windows: Iterator[Window]) -> Window:
    """Raises DataError when not one example can be read."""
    window = next(windows, None)
    if not window:
        raise DataError("not one held-out example of the bundle can be read", "export the run again")
    return window


def batches(model: Model, name: str, window: Window, batch: int) -> list[Feed]:
    """Feeds of `batch` examples each from `window`, which is repeated when it is shorter."""
    if batch == 1:
        return [feed_for(model, arrays, name) for _, arrays in window]
    arrays = [window[i % len(window)][1] for i in range(batch)]
    longest = {key: max(a[key].shape[1:] for a in arrays) for key in arrays[0]}
    stacked = {key: np.concatenate([_padded(a[key], shape) for a in arrays]) for key, shape in longest.items()}
    return [feed_for(model, stacked, name)]


def _padded(value: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    pad = [(0, 0)] + [(0, wanted - had) for wanted, had in zip(shape, value.shape[1:], strict=True)]
    return np.pad(value, pad) if any(after for _, after in pad) else value


def _warm_up(shelf: Shelf, name: str, window: Window, series: Series, pace: Pace, tools: Tools) -> None:
    """Run until two successive 1 s medians differ by less than WARM_AGREE; the count is recorded, the times are not."""
    model = shelf.get(name)
    series.fixed_batch = model.fixed_batch
    feeds = batches(model, name, window, pace.batch)
    run_logits(model, feeds[0], pace.batch, name)
    medians: list[float] = []
    start = tools.clock()
    while True:
        times = time_queries(
            model.call, feeds, BlockRule(1, WARM_STEP_S, WARM_CAP_S), Pace(), tools, first=series.warm_runs
        )
        medians.append(float(np.median(times)))
        series.warm_runs += len(times)
        series.warm_s = (tools.clock() - start) / 1e9
        series.warm_stable = len(medians) > 1 and abs(medians[-1] / medians[-2] - 1) < WARM_AGREE
        warm = series.warm_runs >= WARM_RUNS and series.warm_s >= WARM_S
        if (warm and series.warm_stable) or series.warm_s >= WARM_CAP_S:
            return


def _block(
    model: Model,
    name: str,
    window: Window,
    end_to_end: Callable[[Model, int], Any],
    rule: BlockRule,
    pace: Pace,
    tools: Tools,
    order: int,
    start_s: float,
) -> Block:
    feeds = batches(model, name, window, pace.batch)
    positions = [position for position, _ in window]
    before = tools.look()
    gc.collect()
    gc.disable()
    try:
        time_queries(model.call, feeds, SETTLE, Pace(), tools)
        queries = time_queries(model.call, feeds, rule, pace, tools)
        after = tools.look()
        whole_rule = BlockRule(END_TO_END_RUNS, rule.min_s * END_TO_END_SHARE, rule.cap_s * END_TO_END_SHARE)
        whole = time_queries(lambda position: end_to_end(model, position), positions, whole_rule, Pace(), tools)
    finally:
        gc.enable()
    used = np.asarray(positions, dtype=np.int64) if pace.batch == 1 else np.asarray(positions[: pace.batch])
    return Block(order, start_s, queries, whole, used, before, after)


def time_queries(
    call: Callable[[Any], Any], feeds: Sequence[Any], rule: BlockRule, pace: Pace, tools: Tools, first: int = 0
) -> NDArray[np.int64]:
    """Call `call` on `feeds` in turn until `rule` is content; nanoseconds of each call [n]."""
    clock, count = tools.clock, len(feeds)
    times = array("q")
    runs = 0
    start = clock()
    while True:
        if pace.period_s:
            _wait_until(start + round(runs * pace.period_s * 1e9), tools)
        feed = feeds[(first + runs) % count]
        begin = clock()
        call(feed)
        end = clock()
        times.append(end - begin)
        runs += 1
        if rule.done(runs, (end - start) / 1e9):
            return np.frombuffer(times, dtype=np.int64)


def _wait_until(due_ns: int, tools: Tools) -> None:
    left = (due_ns - tools.clock()) / 1e9
    if left > 0:
        tools.sleep(left)
