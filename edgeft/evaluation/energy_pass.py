"""The energy pass: idle, steady load in alternating blocks, idle; the meter runs all the while, nothing else does."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.energy_plan import EnergyPlan
from edgeft.evaluation.latency import Tools, Window, batches, next_window
from edgeft.evaluation.meters.world import ReadError
from edgeft.evaluation.recorders import Edge, Recorder
from edgeft.evaluation.schedule import SETTLE, BlockRule, rounds
from edgeft.evaluation.session import Feed, Model
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.timing import Pace
from edgeft.evaluation.trace import Span

# An idle baseline is looked at in so many parts: how far they scatter is how well it is known.
IDLE_PARTS = 6


@dataclass(frozen=True)
class LoadBlock:
    """Steady queries of one variant between two edges.

    loaded_s   when the settling queries before them began
    sitting    how often the evaluation had been interrupted before it
    """

    order: int
    number: int
    name: str
    loaded_s: float
    start: Edge
    end: Edge
    queries: int
    examples: int
    query_s: float
    before: Snapshot
    after: Snapshot
    sitting: int = 0

    def moved(self, by_s: float) -> LoadBlock:
        """The same on another clock."""
        start, end = (replace(edge, at_s=edge.at_s + by_s) for edge in (self.start, self.end))
        return replace(self, loaded_s=self.loaded_s + by_s, start=start, end=end)


@dataclass
class EnergyRun:
    """What was run when: edges of each idle baseline, blocks, and why it stopped early."""

    idles: list[tuple[Edge, ...]] = field(default_factory=list)
    blocks: list[LoadBlock] = field(default_factory=list)
    failure: str | None = None
    clock_offset_s: float | None = None

    def steps(self) -> list[tuple[Span, Span]]:
        """(idle span, load span) that follow each other at once, for the alignment of clocks."""
        if not self.idles or not self.blocks:
            return []
        before, first = self.idles[0], self.blocks[0]
        found = [((before[0].at_s, before[-1].at_s), (first.loaded_s, first.end.at_s))]
        after, last = self.idles[-1], self.blocks[-1]
        if after[0].at_s >= last.end.at_s:
            found.append(((after[0].at_s, after[-1].at_s), (last.loaded_s, last.end.at_s)))
        return found


def measure(
    shelf: Shelf, windows: Iterator[Window], recorder: Recorder, plan: EnergyPlan, pace: Pace, seed: int, tools: Tools,
    done_block: Callable[[str], None] = lambda name: None,
    first: int = 0, done_round: Callable[[EnergyRun], None] = lambda run: None,
) -> EnergyRun:  # fmt: skip
    """Run the schedule with `recorder` going. A meter that fails ends it early, and what was run stays.

    first        number of the first round: those before it were run by an earlier sitting
    done_round   told what was run so far, after each round
    """
    run = EnergyRun()
    try:
        recorder.start()
    except ReadError as error:
        return EnergyRun(failure=str(error))
    try:
        _schedule(run, shelf, windows, recorder, plan, pace, seed, tools, done_block, first, done_round)
        run.failure = recorder.failure()
    finally:
        _stop(run, recorder)
    return run


def _stop(run: EnergyRun, recorder: Recorder) -> None:
    try:
        recorder.stop()
        if run.blocks:
            run.clock_offset_s = recorder.align(run.steps())
    except ReadError as error:
        run.failure = run.failure or str(error)


def _schedule(
    run: EnergyRun, shelf: Shelf, windows: Iterator[Window], recorder: Recorder, plan: EnergyPlan, pace: Pace,
    seed: int, tools: Tools, done_block: Callable[[str], None], first: int, done_round: Callable[[EnergyRun], None],
) -> None:  # fmt: skip
    order = rounds(shelf.names, plan.blocks, seed)
    window = next_window(windows)
    for _ in range(first):
        window = next_window(windows)
    # Opened before the idle baseline: the first load follows it at once.
    shelf.get(order[min(first, plan.blocks - 1)][0])
    run.idles.append(_idle(recorder, plan, tools))
    for number, names in list(enumerate(order))[first:]:
        if plan.idle_between and number == plan.blocks // 2 and number > first:
            run.idles.append(_idle(recorder, plan, tools))
        for name in names:
            if recorder.failure() is not None:
                return
            feeds = batches(shelf.get(name), name, window, pace.batch)
            place = first * len(names) + len(run.blocks)
            run.blocks.append(_block(shelf.get(name), feeds, name, number, place, recorder, plan, pace, tools))
            done_block(name)
        done_round(run)
        if number + 1 < plan.blocks:
            window = next_window(windows)
    if plan.idle_after and run.blocks:
        run.idles.append(_idle(recorder, plan, tools))


def _idle(recorder: Recorder, plan: EnergyPlan, tools: Tools) -> tuple[Edge, ...]:
    gc.collect()
    edges = [recorder.edge()]
    for _ in range(IDLE_PARTS):
        tools.sleep(plan.idle_s / IDLE_PARTS)
        edges.append(recorder.edge())
    return tuple(edges)


def _block(
    model: Model, feeds: list[Feed], name: str, number: int, order: int, recorder: Recorder, plan: EnergyPlan,
    pace: Pace, tools: Tools,
) -> LoadBlock:  # fmt: skip
    loaded_s = tools.clock() / 1e9
    before = tools.look()
    gc.disable()
    try:
        model.time(feeds, SETTLE, Pace(), tools)
        start = recorder.edge()
        begin_ns = tools.clock()
        times = model.time(feeds, BlockRule(1, plan.block_s, 10 * plan.block_s), pace, tools)
        if pace.period_s:  # the wait after the last query belongs to it
            left_s = (begin_ns - tools.clock()) / 1e9 + len(times) * pace.period_s
            tools.sleep(max(left_s, 0.0))
        end = recorder.edge()
    finally:
        gc.enable()
    return LoadBlock(
        order, number, name, loaded_s, start, end, len(times), len(times) * pace.batch, float(times.mean()) / 1e9,
        before, tools.look(),
    )  # fmt: skip
