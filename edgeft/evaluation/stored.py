"""What the passes found, as JSON and arrays and back, for an evaluation that is gone on with later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from numpy.typing import NDArray

from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Series
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.timing import Pace

Document = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]
_BLOCK_ARRAYS = ("queries_ns", "end_to_end_ns", "positions")


def probes_to(probes: Mapping[str, Sequence[Probe]]) -> dict[str, Any]:
    return {name: [asdict(one) for one in several] for name, several in probes.items()}


def probes_from(document: Document) -> dict[str, list[Probe]]:
    return {name: [Probe(**one) for one in several] for name, several in document.items()}


def round_to(
    series: Mapping[str, Series], number: int, loop_s: float, pace: Pace
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """One round of the latency pass. loop_s: seconds of the fixed loop before the pass."""
    one = {name: replace(found, blocks=[found.blocks[number]]) for name, found in series.items()}
    return latency_to(one, (loop_s, loop_s), pace)


def rounds_from(found: Sequence[tuple[Document, Arrays]]) -> tuple[dict[str, Series], float, Pace] | None:
    """(series of the rounds so far, seconds of the fixed loop before the pass, pace); None when there are none."""
    if not found:
        return None
    parts = [latency_from(*one) for one in found]
    series = {
        name: replace(last, blocks=[block for part, _, _ in parts for block in part[name].blocks])
        for name, last in parts[-1][0].items()
    }
    return series, parts[0][1][0], parts[0][2]


def latency_to(
    series: Mapping[str, Series], loop_s: tuple[float, float], pace: Pace
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    arrays = {
        f"{name}/{k}/{part}": getattr(block, part)
        for name, one in series.items() for k, block in enumerate(one.blocks) for part in _BLOCK_ARRAYS
    }  # fmt: skip
    return {"loop_s": loop_s, "pace": asdict(pace), "series": {n: _series_to(one) for n, one in series.items()}}, arrays


def latency_from(document: Document, arrays: Arrays) -> tuple[dict[str, Series], tuple[float, float], Pace]:
    series = {name: _series_from(name, one, arrays) for name, one in document["series"].items()}
    before, after = document["loop_s"]
    return series, (before, after), Pace(**document["pace"])


def _series_to(one: Series) -> dict[str, Any]:
    blocks = [
        {
            "order": block.order, "start_s": block.start_s, "sitting": block.sitting, "before": asdict(block.before),
            "after": asdict(block.after),
        }
        for block in one.blocks
    ]  # fmt: skip
    return {
        "warm_runs": one.warm_runs, "warm_s": one.warm_s, "warm_stable": one.warm_stable,
        "fixed_batch": one.fixed_batch, "blocks": blocks,
    }  # fmt: skip


def _series_from(name: str, document: Document, arrays: Arrays) -> Series:
    blocks = [
        Block(
            order=one["order"], start_s=one["start_s"], sitting=one["sitting"], before=snapshot(one["before"]),
            after=snapshot(one["after"]), **{part: arrays[f"{name}/{k}/{part}"] for part in _BLOCK_ARRAYS},
        )
        for k, one in enumerate(document["blocks"])
    ]  # fmt: skip
    return Series(**{**document, "blocks": blocks})


def snapshot(document: Document) -> Snapshot:
    return Snapshot(**{**document, "governors": tuple(document["governors"])})
