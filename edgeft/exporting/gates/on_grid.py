"""Gate: every product reads numbers on the target's grids, for targets whose integer kernels this machine lacks.

What a kernel of TensorRT or QNN computes can only be seen there; what it will be given stands in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import decided
from edgeft.exporting.gates.gate import Outcome
from edgeft.scheme import Grid

_TYPES = {"u8": np.uint8, "s8": np.int8, "u16": np.uint16, "s16": np.int16}


@dataclass(frozen=True)
class OnGrid:
    """All Conv, Gemm and MatMul read dequantized data and weights; activations have the scheme's type and, where the
    grid is symmetric, zero point 0. Products the engine left float are listed and allowed."""

    activation: Grid
    name: str = "products on the target's grids"

    def run(self, artifact: Artifact) -> Outcome:
        products = list(graph.nodes(artifact.model, *graph.PRODUCTS))
        wrong = {graph.title(node): why for node in products if (why := self._wrong(node))}
        unexpected = [
            node for node in products if graph.title(node) in wrong and not decided(node, artifact)
        ]
        good = len(products) - len(wrong)
        evidence = f"{good} of {len(products)} products read quantized numbers; kernels are proven on the target only"
        places = tuple(f"{name} ({why})" for name, why in wrong.items())
        return Outcome(not unexpected and bool(products), evidence, places)

    def _wrong(self, node: ir.Node) -> str:
        """What is wrong with what `node` reads; empty when nothing is."""
        data = graph.dequantize_of(node.inputs[0])
        weight = graph.dequantize_of(node.inputs[1])
        if data is None or weight is None:
            return "its data is not quantized" if data is None else "its second factor is not quantized"
        grid = graph.grid(data)
        if grid is None or grid.zero_point.dtype != _TYPES[self.activation.dtype]:
            return f"its data is not {self.activation.dtype}"
        if self.activation.symmetric and grid.zero_point.any():
            return "the zero point of its data is not 0"
        return ""
