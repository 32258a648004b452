"""Running a written file with onnxruntime, with its optimizer off or on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edgeft.cpu import read_cpu
from edgeft.exporting.exact import exact, holds_int8_blocks
from edgeft.tasks.task import answers_in

Batch = Mapping[str, NDArray[Any]]
_ERRORS_ONLY = 3
# Products of uint8 and int8 saturate on a workstation without VNNI, but not on the targets whose grids have 8-bit
# weights. With this entry onnxruntime's optimizer moves such weights to uint8, which is slower and exact
# (onnxruntime_session_options_config_keys.h: kOrtSessionOptionsAvx2PrecisionMode). It does so on any processor, and to
# weights in blocks too, whose zero points it then gets wrong (onnxruntime 1.32: "x_zero_point must be null or have the
# same rank as x for blocked quantization"). Products of two int8 numbers are exact on every processor, and have no
# kernels with the weight alone moved.
_EXACT_PRODUCTS = {"session.x64quantprecision": "1"}
_INT8_DATA = "session.qdqisint8allowed"


def open_session(
    path: Path, optimized: bool, options: Mapping[str, str] | None = None, save_to: Path | None = None
) -> ort.InferenceSession:
    """A session on the CPU, which computes what the file says whatever this machine's integer instructions.

    optimized  False: every node runs as written. True: all of onnxruntime's optimizer
    options    session configuration entries of the target's profile
    save_to    where to write the graph that really runs
    """
    settings = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    settings.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    settings.log_severity_level = _ERRORS_ONLY
    given = dict(options or {})
    saturates = read_cpu().saturates and given.get(_INT8_DATA) != "1"
    if saturates and optimized and not holds_int8_blocks(path):
        given = {**_EXACT_PRODUCTS, **given}
    for name, value in given.items():
        settings.add_session_config_entry(name, str(value))
    if save_to is not None:
        settings.optimized_model_filepath = str(save_to)
    moved = exact(path) if saturates and not optimized else None
    return ort.InferenceSession(moved or str(path), settings, providers=["CPUExecutionProvider"])


def feed(session: ort.InferenceSession, batch: Batch) -> dict[str, NDArray[Any]]:
    """The inputs of a session, each cast to the type the file declares."""
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    return {each.name: np.asarray(batch[each.name]).astype(kinds[each.type]) for each in session.get_inputs()}


def outputs(session: ort.InferenceSession, batch: Batch) -> list[NDArray[Any]]:
    """Everything the file answers to one batch."""
    return [np.asarray(output) for output in session.run(None, feed(session, batch))]


def answer(session: ort.InferenceSession, batch: Batch) -> NDArray[np.float32]:
    """Logits [answers, labels] of one batch."""
    return answers_in(outputs(session, batch)[0], batch)


def answers(session: ort.InferenceSession, batches: Sequence[Batch]) -> NDArray[np.float32]:
    """Logits of all batches, one row an answer."""
    return np.concatenate([answer(session, batch) for batch in batches])
