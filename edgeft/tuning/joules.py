"""Energy of a tuning run: what the meters of `edgeft eval` read between its first act and its last, or why nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from edgeft import ranks
from edgeft.evaluation import energy
from edgeft.evaluation.meters.world import ReadError, World
from edgeft.evaluation.recorders import Recorder, recorder_for

_PROVIDERS = {"cuda": "CUDAExecutionProvider"}


@contextmanager
def metered(device: torch.device, resumed: bool, world: World | None = None) -> Iterator[dict[str, Any]]:
    """Measure while inside; the dictionary holds the figure afterwards, as the energy of a result does:
    {"status": "measured", "gross_j", "s", "mean_w", "source", "coverage"} or {"status": "not_measured", "reason"}.

    resumed   earlier calls did a part of the work, and what they took is not in the figure: it says so
    """
    if not ranks.first():
        yield {}
        return
    choice = energy.choose("auto", (), _PROVIDERS.get(device.type, ""), world)
    found: dict[str, Any] = energy.not_measured(choice.why_not or "")
    if choice.meter is None:
        yield found
        return
    recorder = recorder_for(choice.meter, choice.asked, time.perf_counter_ns)
    try:
        recorder.start()
    except ReadError as error:
        found["reason"] = str(error)
        yield found
        return
    start = recorder.edge()
    try:
        yield found
    finally:
        end = recorder.edge()
        recorder.stop()
        found |= _figure(recorder, start, end)
    if found["status"] == "measured":
        found |= {"source": choice.meter.source, "coverage": choice.meter.coverage}
        parts = ["since the run was last resumed"] * resumed
        parts += [f"what the first of {ranks.world()} processes can see"] * (ranks.world() > 1)
        found |= {"part": ", ".join(parts)} if parts else {}
        found.pop("reason", None)


def _figure(recorder: Recorder, start: Any, end: Any) -> dict[str, Any]:
    try:
        window = recorder.window(start, end)
    except ReadError as error:
        return {"reason": str(error)}
    joules, seconds = round(window.joules, 1), round(window.s, 1)
    return {"status": "measured", "gross_j": joules, "s": seconds, "mean_w": round(window.watts, 2)}


def energy_words(found: dict[str, Any]) -> str:
    """One sentence: what it took and what that covers, or that it was not measured."""
    if found["status"] != "measured":
        return f"not measured: {found['reason']}"
    part = f", {found['part']}" if "part" in found else ""
    return (
        f"{found['gross_j'] / 3600:.3g} Wh gross in {found['s']:,.0f} s ({found['mean_w']:.3g} W on average), measured "
        f"with {found['source']}, covers {found['coverage']}{part}"
    )
