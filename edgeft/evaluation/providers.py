"""Which execution providers a session gets: the one asked for, and behind it those that take what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CPU = "CPUExecutionProvider"
# These build an engine for every part of a model that they take, and leave the rest to CUDA; behind CUDA they would
# build engines for its crumbs. Source: ONNX Runtime, "TensorRT Execution Provider".
_BEFORE_CUDA = ("TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")

Options = Mapping[str, Mapping[str, Any]]


def behind(chosen: str, listed: Sequence[str], options: Options) -> dict[str, dict[str, Any]]:
    """Provider -> its options, for those behind `chosen` in a profile's list; the CPU takes everything and is last."""
    order = [*(one for one in listed if one in _BEFORE_CUDA), *(one for one in listed if one not in _BEFORE_CUDA)]
    if chosen == CPU:
        return {}
    rest = order[order.index(chosen) + 1 :] if chosen in order else []
    rest = rest[: rest.index(CPU)] if CPU in rest else rest
    return {name: dict(options.get(name, {})) for name in (*rest, CPU)}


def chain(chosen: str, chosen_options: Mapping[str, Any], others: Options, there: Sequence[str]) -> Options:
    """Provider -> options of a session, first choice first: of `others` those that this onnxruntime has (`there`)."""
    return {chosen: chosen_options, **{name: options for name, options in others.items() if name in there}}
