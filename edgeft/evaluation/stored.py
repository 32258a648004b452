"""What the passes found, as JSON and arrays and back, for an evaluation that is gone on with later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Pace, Series
from edgeft.evaluation.probe import Probe

Document = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]
_BLOCK_ARRAYS = ("queries_ns", "end_to_end_ns", "positions")


def probes_to(probes: Mapping[str, Sequence[Probe]]) -> dict[str, Any]:
    return {name: [asdict(one) for one in several] for name, several in probes.items()}


def probes_from(document: Document) -> dict[str, list[Probe]]:
    return {name: [Probe(**one) for one in several] for name, several in document.items()}


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
        {"order": block.order, "start_s": block.start_s, "before": asdict(block.before), "after": asdict(block.after)}
        for block in one.blocks
    ]
    return {
        "warm_runs": one.warm_runs, "warm_s": one.warm_s, "warm_stable": one.warm_stable,
        "fixed_batch": one.fixed_batch, "blocks": blocks,
    }  # fmt: skip


def _series_from(name: str, document: Document, arrays: Arrays) -> Series:
    blocks = [
        Block(
            order=one["order"], start_s=one["start_s"], before=_snapshot(one["before"]), after=_snapshot(one["after"]),
            **{part: arrays[f"{name}/{k}/{part}"] for part in _BLOCK_ARRAYS},
        )
        for k, one in enumerate(document["blocks"])
    ]  # fmt: skip
    return Series(**{**document, "blocks": blocks})


def _snapshot(document: Document) -> Snapshot:
    return Snapshot(**{**document, "governors": tuple(document["governors"])})
