"""How large the numbers inside a float model get, on samples: what decides where float16 would overflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from edgeft.exporting import sessions
from edgeft.exporting.write import write


def largest_values(model: ir.Model, samples: Iterable[sessions.Batch]) -> dict[str, float]:
    """Largest magnitude of every float tensor that an operator of `model` writes, by name; infinite where a value was
    not finite. Samples are small batches: every inner tensor of one is held at a time."""
    ShapeInferencePass(strict_mode=True)(model)
    outputs = list(model.graph.outputs)
    inner = [
        value
        for node in model.graph
        for value in node.outputs
        if value.dtype is ir.DataType.FLOAT and value not in outputs
    ]
    with tempfile.TemporaryDirectory() as folder:
        model.graph.outputs.extend(inner)
        try:
            path = write(model, Path(folder) / "open.onnx")
        finally:
            del model.graph.outputs[len(outputs) :]
        session = sessions.open_session(path, optimized=False)
    names = [output.name for output in session.get_outputs()]
    found = dict.fromkeys(names, 0.0)
    for sample in samples:
        for name, content in zip(names, session.run(None, sessions.feed(session, sample)), strict=True):
            found[name] = max(found[name], _magnitude(np.asarray(content)))
    return found


def _magnitude(content: np.ndarray) -> float:
    if content.size == 0:
        return 0.0
    largest = float(np.abs(content).max())
    return largest if np.isfinite(largest) else float("inf")
