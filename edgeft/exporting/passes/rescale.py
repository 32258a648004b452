"""Pass 2: a product with a positive constant moves into the scale of the DequantizeLinear before it.

1 / sqrt(d) in front of an attention product would otherwise stand, as a float Mul, between the integers and the MatMul;
behind one it would be a float Mul of all scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


def _factor(node: ir.Node) -> tuple[ir.Node, np.float32] | None:
    """The DequantizeLinear and the constant it is multiplied by."""
    for index in (0, 1) if node.op_type == "Mul" else (0,):
        source = _dequantize(node.inputs[index])
        other = graph.array(node.inputs[1 - index])
        if source is None or other is None or other.size != 1 or other.ndim > 1 or float(other.reshape(())) <= 0:
            continue
        if source.inputs[0] is None or graph.array(source.inputs[0]) is not None or graph.grid(source) is None:
            continue
        value = float(other.reshape(()))
        return source, np.float32(value if node.op_type == "Mul" else 1.0 / value)
    return None


def _dequantize(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that makes `value`, or the first factor of the MatMul that makes it for one reader."""
    product = graph.producer_of(value, "MatMul")
    if product is not None and len(product.outputs[0].uses()) == 1:
        value = product.inputs[0]
    return graph.producer_of(value, "DequantizeLinear")


@dataclass(frozen=True)
class Rescale:
    """DequantizeLinear(s) -> Mul(c) or Div(1/c), c > 0, becomes DequantizeLinear(s * c); the codes stay. So does
    MatMul(DequantizeLinear(s), y) -> Mul(c)."""

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
            product = next((made for each in node.inputs if (made := graph.producer_of(each, "MatMul"))), None)
            place = product or node
            new = graph.before(model, place, "DequantizeLinear", inputs, f"{name}_moved", **graph.axis_of(source))
            if product is not None:
                product.replace_input_with(0, new)
                new = product.outputs[0]
            graph.replace(model, node.outputs[0], new)
            graph.drop(model, node)
            graph.drop(model, source)
            done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "Mul", "Div") if _factor(node) is not None]
