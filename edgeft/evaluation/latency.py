"""The latency pass: alternating blocks of timed queries, one thread of control, nothing else running."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    WARM_RUNS,
    WARM_S,
    WARM_STEP_S,
    BlockRule,
    block_rule,
    rounds,
)
from edgeft.evaluation.session import Feed, Model, feed_for, run_logits
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.timing import Pace, time_queries

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
    """One block: its place in the run, its queries in nanoseconds, and the machine before and after.

    sitting   how often the evaluation had been interrupted before it
    """

    order: int
    start_s: float
    queries_ns: NDArray[np.int64]
    end_to_end_ns: NDArray[np.int64]
    positions: NDArray[np.int64]
    before: Snapshot
    after: Snapshot
    sitting: int = 0

    @property
    def busy_s(self) -> float:
        return float(self.queries_ns.sum() + self.end_to_end_ns.sum()) / 1e9

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
    earlier: Mapping[str, Series] | None = None,
    done_round: Callable[[Mapping[str, Series], int], None] = lambda series, number: None,
) -> dict[str, Series]:
    """Time `names`, by default every variant of `shelf`, in alternating blocks.

    windows      encoded examples, one window a round, the same for all variants
    end_to_end   (model, position) -> answer: reads, encodes, runs and decodes one example
    earlier      whole rounds of an interrupted pass, which are not run again
    done_round   told the series and the round's number, from 0, when the last variant has had its block
    """
    names = names or shelf.names
    series = dict(earlier) if earlier else {name: Series() for name in names}
    before = [block for one in series.values() for block in one.blocks]
    window = next_window(windows)
    for name in names:
        _warm_up(shelf, name, window, series[name], pace, preset.warm_cap_s, tools)
    place = _Place(
        order=len(before), start_s=max((block.start_s + block.busy_s for block in before), default=0.0),
        sitting=max((block.sitting + 1 for block in before), default=0),
    )  # fmt: skip
    rule, start_ns = block_rule(preset), tools.clock()
    for number, turn in enumerate(rounds(names, preset.blocks, seed)):
        if number * len(names) >= len(before):
            for name in turn:
                at = replace(place, start_s=place.start_s + (tools.clock() - start_ns) / 1e9)
                block = _block(shelf.get(name), name, window, end_to_end, rule, pace, tools, at)
                series[name].blocks.append(block)
                place = replace(place, order=place.order + 1)
                done_block(name)
            done_round(series, number)
        if number + 1 < preset.blocks:
            window = next_window(windows)
    return series


@dataclass(frozen=True)
class _Place:
    """Where a block stands in the run."""

    order: int
    start_s: float
    sitting: int


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


def _warm_up(
    shelf: Shelf, name: str, window: Window, series: Series, pace: Pace, cap_s: float, tools: Tools
) -> None:
    """Run until two successive 1 s medians differ by less than WARM_AGREE; the count is recorded, the times are not."""
    model = shelf.get(name)
    series.fixed_batch = model.fixed_batch
    feeds = batches(model, name, window, pace.batch)
    run_logits(model, feeds[0], pace.batch, name)
    medians: list[float] = []
    series.warm_runs, start = 0, tools.clock()
    while True:
        times = model.time(feeds, BlockRule(1, WARM_STEP_S, cap_s), Pace(), tools, series.warm_runs)
        medians.append(float(np.median(times)))
        series.warm_runs += len(times)
        series.warm_s = (tools.clock() - start) / 1e9
        series.warm_stable = len(medians) > 1 and abs(medians[-1] / medians[-2] - 1) < WARM_AGREE
        warm = series.warm_runs >= WARM_RUNS and series.warm_s >= WARM_S
        if (warm and series.warm_stable) or series.warm_s >= cap_s:
            return


def _block(
    model: Model,
    name: str,
    window: Window,
    end_to_end: Callable[[Model, int], Any],
    rule: BlockRule,
    pace: Pace,
    tools: Tools,
    place: _Place,
) -> Block:
    feeds = batches(model, name, window, pace.batch)
    positions = [position for position, _ in window]
    before = tools.look()
    gc.collect()
    gc.disable()
    try:
        model.time(feeds, SETTLE, Pace(), tools)
        queries = model.time(feeds, rule, pace, tools)
        after = tools.look()
        whole_rule = BlockRule(END_TO_END_RUNS, rule.min_s * END_TO_END_SHARE, rule.cap_s * END_TO_END_SHARE)
        # On a clock that stands still while a query is on its way to a model's own process and back.
        here = replace(tools, clock=lambda: tools.clock() - model.away_ns)
        # What is read and encoded one by one is no query of a batch: offline has no such figure.
        whole = np.zeros(0, np.int64) if pace.batch > 1 else time_queries(
            lambda position: end_to_end(model, position), positions, whole_rule, pace, here
        )  # fmt: skip
    finally:
        gc.enable()
    used = np.asarray(positions, dtype=np.int64) if pace.batch == 1 else np.asarray(positions[: pace.batch])
    return Block(place.order, place.start_s, queries, whole, used, before, after, place.sitting)
