"""Joules an example from what the energy pass recorded: gross first, net second, and what speaks against them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeft.evaluation import stats
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.energy import Choice, not_measured, tried_record
from edgeft.evaluation.energy_pass import IDLE_PARTS, EnergyRun, LoadBlock
from edgeft.evaluation.meters.kinds import Counter
from edgeft.evaluation.meters.world import ReadError
from edgeft.evaluation.recorders import Edge, Recorder, Window
from edgeft.evaluation.trace import Trace


@dataclass(frozen=True)
class Idle:
    """One idle baseline: when (its middle), watts, and the standard error of these."""

    at_s: float
    watts: float
    error_w: float


@dataclass(frozen=True)
class Energy:
    """blocks: those with a figure, with it. failure: why some or all are missing."""

    choice: Choice
    idles: tuple[Idle, ...] = ()
    blocks: tuple[tuple[LoadBlock, Window], ...] = ()
    failure: str | None = None
    clock_offset_s: float | None = None
    trace: Trace | None = None

    def shots(self) -> list[list[Snapshot]]:
        """The machine before and after each block, sitting by sitting."""
        sittings = sorted({block.sitting for block, _ in self.blocks})
        return [
            [shot for block, _ in self.blocks if block.sitting == sitting for shot in (block.before, block.after)]
            for sitting in sittings
        ]

    def rounds(self, names: Sequence[str]) -> int:
        """Whole rounds from the first on: every variant has its block."""
        have = {(block.number, block.name) for block, _ in self.blocks}
        return next(k for k in itertools.count() if not all((k, name) in have for name in names))

    def moved_before(self, at_s: float) -> Energy:
        """The same, over a second before that moment: clocks of two sittings have nothing in common."""
        ends = [one.at_s for one in self.idles] + [block.end.at_s for block, _ in self.blocks]
        if not ends:
            return self
        by_s = at_s - 1.0 - max(ends)
        idles = tuple(replace(one, at_s=one.at_s + by_s) for one in self.idles)
        blocks = tuple((block.moved(by_s), window) for block, window in self.blocks)
        trace = Trace(self.trace.times_s + by_s, self.trace.watts) if self.trace else None
        return replace(self, idles=idles, blocks=blocks, trace=trace)

    def of(self, name: str) -> list[tuple[LoadBlock, Window]]:
        return [pair for pair in self.blocks if pair[0].name == name]

    def idle_w(self, window_at_s: float) -> float:
        """Between two baselines on a straight line."""
        return float(np.interp(window_at_s, [one.at_s for one in self.idles], [one.watts for one in self.idles]))

    @property
    def idle_error_w(self) -> float:
        """Standard error of the idle power taken from all baselines together."""
        return math.sqrt(sum(one.error_w**2 for one in self.idles)) / len(self.idles)

    @property
    def idle_half_w(self) -> float:
        """Half of its 95 % interval. The error is known from a few parts of each baseline, so Student's t."""
        return stats.t_975(len(self.idles) * (IDLE_PARTS - 1)) * self.idle_error_w


def reduce(choice: Choice, run: EnergyRun, recorder: Recorder, earlier: Energy | None = None) -> Energy:
    """A window without a figure is left out and its reason kept.

    earlier   what an interrupted sitting measured; its moments are put before those of `run`
    """
    earlier = earlier or Energy(choice)
    if run.idles:
        earlier = earlier.moved_before(run.idles[0][0].at_s)
    reasons = [run.failure] if run.failure else []
    idles, blocks, sitting = list(earlier.idles), list(earlier.blocks), len(earlier.shots())
    for edges in run.idles:
        try:
            idles.append(_idle(edges, recorder))
        except ReadError as error:
            reasons.append(str(error))
    for block in run.blocks:
        try:
            window = recorder.window(block.start, block.end)
        except ReadError as error:
            reasons.append(str(error))
            continue
        if window.joules > 0:
            blocks.append((replace(block, sitting=sitting), window))
        else:
            reasons.append(f"{choice.asked} gave {window.joules:g} J for {window.s:.0f} s of load")
    failure = reasons[0] if reasons else None
    trace = joined(earlier.trace, recorder.trace())
    return Energy(choice, tuple(idles), tuple(blocks), failure, run.clock_offset_s, trace)


def joined(before: Trace | None, after: Trace | None) -> Trace | None:
    """Both, one after the other."""
    if before is None or after is None:
        return after or before
    return Trace(np.concatenate([before.times_s, after.times_s]), np.concatenate([before.watts, after.watts]))


def _idle(edges: Sequence[Edge], recorder: Recorder) -> Idle:
    whole = recorder.window(edges[0], edges[-1])
    parts = [recorder.window(a, b, trim=False).watts for a, b in zip(edges, edges[1:], strict=False)]
    error = float(np.std(parts, ddof=1)) / math.sqrt(len(parts))
    return Idle((edges[0].at_s + edges[-1].at_s) / 2, whole.watts, error)


def variant(energy: Energy, name: str, query_s: float) -> dict[str, Any]:
    """The part "energy" of one variant. query_s: mean time of a query in the latency pass."""
    meter, pairs = energy.choice.meter, energy.of(name)
    if meter is None or not pairs:
        reason = energy.choice.why_not or f"{energy.choice.asked}: {energy.failure or 'no block was measured'}"
        return not_measured(reason, energy.choice.tried)
    joules, seconds = sum(w.joules for _, w in pairs), sum(w.s for _, w in pairs)
    examples = sum(block.examples for block, _ in pairs)
    found: dict[str, Any] = {
        "status": "measured",
        "source": meter.name,
        "path": meter.source,
        "coverage": meter.coverage,
        "sensor_resolution": meter.resolution,
        "per": "example",
        "gross_j": joules / examples,
        **_interval("gross_ci95", [w.joules / block.examples for block, w in pairs], 0.0),
        "mean_w": joules / seconds,
        "n": examples,
        "sampler_overhead": overhead(pairs, query_s),
        "blocks": [_block(block, window) for block, window in pairs],
        **tried_record(energy.choice.tried),
    }
    if energy.idles:
        net = [_net_j(energy, block, window) for block, window in pairs]
        found["idle"] = idle_record(energy)
        found["net_j"] = sum(net) / examples
        each = [value / block.examples for value, (block, _) in zip(net, pairs, strict=True)]
        found |= _interval("net_ci95", each, seconds / examples * energy.idle_half_w)
    return found | _sampling(energy, pairs) | ({"reason": energy.failure} if energy.failure else {})


def _net_j(energy: Energy, block: LoadBlock, window: Window) -> float:
    return window.joules - energy.idle_w((block.start.at_s + block.end.at_s) / 2) * window.s


def _interval(key: str, values: Sequence[float], shared_half: float) -> dict[str, list[float]]:
    """95 % of the mean of block values; shared_half: half the interval of an error that is common to all blocks and
    does not average out."""
    if len(values) < 2:
        return {}
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = math.hypot(stats.t_975(len(values) - 1) * spread, shared_half)
    return {key: [mean - half, mean + half]}


def idle_record(energy: Energy) -> dict[str, Any]:
    watts = [one.watts for one in energy.idles]
    found = {"before_w": watts[0], "error_w": energy.idle_error_w}
    found |= {"after_w": watts[-1]} if len(watts) > 1 else {}
    return found | ({"between_w": watts[1]} if len(watts) > 2 else {})


def _block(block: LoadBlock, window: Window) -> dict[str, Any]:
    found = {"order": block.order, "t_start": block.start.at_s, "s": window.s, "n": block.examples,
             "gross_j": window.joules}  # fmt: skip
    return found | ({"samples": window.samples} if window.samples is not None else {})


def _sampling(energy: Energy, pairs: Sequence[tuple[LoadBlock, Window]]) -> dict[str, Any]:
    meter = energy.choice.meter
    found: dict[str, Any] = {}
    samples = [window.samples for _, window in pairs if window.samples is not None]
    if samples:
        found |= {"n_samples": sum(samples), "sample_hz": sum(samples) / sum(window.s for _, window in pairs)}
    if isinstance(meter, Counter):
        found["wraps"] = meter.wraps
    if energy.clock_offset_s is not None:
        found["clock_offset_s"] = energy.clock_offset_s
    return found


def overhead(pairs: Sequence[tuple[LoadBlock, Window]], query_s: float) -> float:
    """How much longer a query took here than in the latency pass, as a share."""
    return float(np.median([block.query_s for block, _ in pairs])) / query_s - 1


def compared(energy: Energy, baseline: str, name: str) -> dict[str, Any]:
    """{"energy": `name` against `baseline`}: ratio of gross joules an example with its interval over pairs of blocks;
    empty without such pairs."""
    before = {block.number: (block, window) for block, window in energy.of(baseline)}
    pairs = [(before[block.number], (block, window)) for block, window in energy.of(name) if block.number in before]
    if not pairs:
        return {}
    ratio = stats.paired_ratio([w.joules / b.examples for _, (b, w) in pairs],
                               [w.joules / b.examples for (b, w), _ in pairs])  # fmt: skip
    found: dict[str, Any] = {
        "ratio": ratio.point, "verdict": verdict(ratio), "basis": "gross", "blocks": ratio.n,
        "coverage": energy.choice.meter.coverage if energy.choice.meter else "",
    }  # fmt: skip
    if ratio.low is not None and ratio.high is not None:
        found["ci95"] = [ratio.low, ratio.high]
    net = _net_ratio(energy, pairs) if energy.idles else None
    return {"energy": found | ({"net": net} if net else {})}


def verdict(ratio: stats.Ratio) -> str:
    """ "less" or "more" only when the whole interval lies beyond the noise floor of ratios."""
    from edgeft.evaluation.claims import speed_verdict

    if ratio.low is None or ratio.high is None:
        return "undecided"
    turned = stats.Ratio(1 / ratio.point, 1 / ratio.high, 1 / ratio.low, ratio.n)
    return {"faster": "less", "slower": "more"}.get(speed_verdict(turned), speed_verdict(turned))


Pair = tuple[LoadBlock, Window]


def _net_ratio(energy: Energy, pairs: Sequence[tuple[Pair, Pair]]) -> dict[str, Any] | None:
    """Idle power is subtracted from both, so its error moves both: the derivative of ln(new / baseline) by it is
    s_base / net_base - s_new / net_new, with the seconds and net joules an example."""
    sides = [[(_net_j(energy, b, w) / b.examples, w.s / b.examples) for b, w in side]
             for side in zip(*pairs, strict=True)]  # fmt: skip
    if min(net for side in sides for net, _ in side) <= 0:
        return None
    base, new = ([net for net, _ in side] for side in sides)
    ratio = stats.paired_ratio(new, base)
    if ratio.low is None or ratio.high is None:
        return {"ratio": ratio.point}
    base_s, new_s = (float(np.mean([s for _, s in side])) for side in sides)
    slope = base_s / float(np.mean(base)) - new_s / float(np.mean(new))
    half = math.hypot(math.log(ratio.high / ratio.point), slope * energy.idle_half_w)
    return {"ratio": ratio.point, "ci95": [ratio.point * math.exp(-half), ratio.point * math.exp(half)]}


def arrays(energy: Energy) -> dict[str, Any]:
    """Raw samples, for samples.npz."""
    if energy.trace is None:
        return {}
    return {"energy/t_s": energy.trace.times_s, "energy/watt": energy.trace.watts}


def query_means(series: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(variant, median over blocks of the mean query, in seconds) of the latency pass."""
    for name, one in series.items():
        yield name, float(np.median([block.queries_ns.mean() for block in one.blocks])) / 1e9
