"""Gate: quantized pairs stand where TensorRT takes them, on the inputs of products and of residual sums.

A pair elsewhere keeps it from fusing what follows a convolution, a zero point is refused ("Non-zero zero point is not
supported"), and a bias must be float (quantization.md section 5; NVIDIA/TensorRT#3038, #2774).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome

# Views between a pair and the product that reads it: TensorRT moves the pair through them.
_VIEWS = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Slice", "Gather", "Pad")


@dataclass(frozen=True)
class PairsOnInputs:
    """Every DequantizeLinear is read by a product's data or weight, or by a residual Add; every zero point is 0; no
    bias is an integer."""

    name: str = "pairs on inputs"

    def run(self, artifact: Artifact) -> Outcome:
        pairs = list(graph.quantized_pairs(artifact.model))
        wrong = {graph.title(node): why for node in pairs if (why := _wrong(node))}
        places = tuple(f"{name} ({why})" for name, why in wrong.items())
        return Outcome(bool(pairs) and not wrong, f"{len(pairs) - len(wrong)} of {len(pairs)} stand right", places)


def _wrong(node: ir.Node) -> str:
    grid = graph.grid(node)
    if grid is None or grid.zero_point.any():
        return "its zero point is not 0"
    if node.op_type == "QuantizeLinear":
        return ""
    for reader, index in _readers(node.outputs[0]):
        if reader.op_type in graph.PRODUCTS and index > 1:
            return f"it stores the bias of {graph.title(reader)}"
        if reader.op_type not in (*graph.PRODUCTS, "Add"):
            return f"{graph.title(reader)} reads it"
    return ""


def _readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    found = []
    for reader, index in value.uses():
        found += _readers(reader.outputs[0]) if reader.op_type in _VIEWS else [(reader, index)]
    return found
