"""Gate: nothing inside an integer file is not a number.

QuantizeLinear writes some code for a NaN or an infinity, and from there on every number is finite: the outputs do not
show that a layer computes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from edgeft.exporting import graph, sessions
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome

_FLOAT = int(ir.DataType.FLOAT)


@dataclass(frozen=True)
class FiniteInside:
    """Every scale is a positive finite number, and so is every number that is quantized on the first samples.

    samples   at least so many are run, in the batches given, with the optimizer off
    """

    samples: int = 32
    name: str = "finite inside"

    def run(self, artifact: Artifact) -> Outcome:
        scales = [graph.title(node) for node in graph.quantized_pairs(artifact.model) if not _good_scale(node)]
        if not graph.nodes(artifact.model, "QuantizeLinear"):
            places = tuple(f"the scale of {name}" for name in scales)
            return Outcome(not places, "no tensor is quantized while the model runs", places)
        with _watched(artifact.path) as (session, watched):
            flags = np.zeros(len(watched), bool)
            rows = 0
            for batch in artifact.batches:
                flags |= np.array(sessions.outputs(session, batch), bool)
                rows += len(next(iter(batch.values())))
                if rows >= self.samples:
                    break
        wrong = tuple(name for name, flag in zip(watched, flags, strict=True) if flag)
        evidence = f"{len(watched) - len(wrong)} of {len(watched)} quantized tensors are finite on {rows} samples"
        places = (*(f"the scale of {name}" for name in scales), *(f"what {name} reads" for name in wrong))
        return Outcome(not places, evidence, places)


def _good_scale(node: ir.Node) -> bool:
    grid = graph.grid(node)
    return grid is None or bool((np.isfinite(grid.scale) & (grid.scale > 0)).all())


@contextlib.contextmanager
def _watched(path: Path) -> Iterator[tuple[ort.InferenceSession, list[str]]]:
    """A session that answers, for each QuantizeLinear, whether it reads anything that is not finite, and their names.

    The file is written beside the one it is made from, where its weights may lie.
    """
    model = ir.load(path)
    quantizes = graph.nodes(model, "QuantizeLinear")
    outputs = [_flag(model, node) for node in quantizes]
    model.graph.outputs.clear()
    model.graph.outputs.extend(outputs)
    temporary = path.with_name(f".{path.name}.watched")
    try:
        ir.save(model, temporary)
        yield sessions.open_session(temporary, optimized=False), [graph.title(node) for node in quantizes]
    finally:
        temporary.unlink(missing_ok=True)


def _flag(model: ir.Model, node: ir.Node) -> ir.Value:
    """1 when x - x is a NaN anywhere, which it is for a NaN and for an infinity."""
    name, x = node.outputs[0].name, node.inputs[0]
    zero = graph.before(model, node, "Sub", [x, x], f"{name}_zero")
    bad = graph.before(model, node, "IsNaN", [zero], f"{name}_nan")
    number = graph.before(model, node, "Cast", [bad], f"{name}_number", to=_FLOAT)
    flag = graph.before(model, node, "ReduceMax", [number], f"{name}_flag", keepdims=0)
    flag.type, flag.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
    return flag
