"""Gate: a file for a target that compiles for fixed sizes has no free one left, and computes none."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome

# Operators whose result has a size that depends on values, or that compute one.
_COMPUTE_SIZES = ("Shape", "Size", "NonZero", "Unique", "Compress", "NonMaxSuppression", "Loop", "If", "Scan")


@dataclass(frozen=True)
class FixedShapes:
    """Every tensor has a known size, and no node asks for one (QNN HTP: microsoft/onnxruntime, QNN provider)."""

    name: str = "fixed shapes"

    def run(self, artifact: Artifact) -> Outcome:
        asking = [graph.title(node) for node in graph.nodes(artifact.model, *_COMPUTE_SIZES)]
        values = [*artifact.model.graph.inputs, *(value for node in artifact.model.graph for value in node.outputs)]
        free = [f"{value.name} {_spelled(value)}" for value in values if not _is_fixed(value)]
        places = (*asking, *free)
        return Outcome(not places, f"{len(values) - len(free)} of {len(values)} tensors have fixed sizes", places)


def _is_fixed(value: ir.Value) -> bool:
    return value.shape is not None and all(isinstance(size, int) for size in value.shape)


def _spelled(value: ir.Value) -> str:
    return "has no known size" if value.shape is None else str([str(size) for size in value.shape])
