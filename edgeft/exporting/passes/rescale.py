"""Pass 2: a product with a positive constant moves into the scale of the DequantizeLinear before it.

1 / sqrt(d) in front of an attention product would otherwise stand, as a float Mul, between the integers and the MatMul.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


def _factor(node: ir.Node) -> tuple[ir.Node, np.float32] | None:
    """The DequantizeLinear and the constant it is multiplied by."""
    for index in (0, 1) if node.op_type == "Mul" else (0,):
        source = graph.producer_of(node.inputs[index], "DequantizeLinear")
        other = graph.array(node.inputs[1 - index])
        if source is None or other is None or other.size != 1 or other.ndim > 1 or float(other.reshape(())) <= 0:
            continue
        if source.inputs[0] is None or graph.array(source.inputs[0]) is not None or graph.grid(source) is None:
            continue
        value = float(other.reshape(()))
        return source, np.float32(value if node.op_type == "Mul" else 1.0 / value)
    return None


@dataclass(frozen=True)
class Rescale:
    """DequantizeLinear(s) -> Mul(c) or Div(1/c), c > 0, becomes DequantizeLinear(s * c); the codes stay."""

    name: str = "rescale"
    contract: str = "no dequantized tensor is multiplied by a positive scalar constant"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "Mul", "Div"):
            found = _factor(node)
            if found is None:
                continue
            source, factor = found
            scale = graph.array(source.inputs[1])
            assert scale is not None
            name = str(node.outputs[0].name)
            moved = graph.initializer(model, f"{name}_scale", (scale * factor).astype(np.float32))
            inputs = [source.inputs[0], moved, *source.inputs[2:]]
            new = graph.before(model, node, "DequantizeLinear", inputs, f"{name}_moved", **graph.axis_of(source))
            graph.replace(model, node.outputs[0], new)
            graph.drop(model, node)
            graph.drop(model, source)
            done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "Mul", "Div") if _factor(node) is not None]
