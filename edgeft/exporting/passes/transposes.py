"""Pass 3: linear weights are stored [in, out], ready for the product.

A Transpose after the DequantizeLinear of a weight is a float operation on some targets (quantization.md 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from edgeft.exporting import graph


def _turned_weight(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The stored 2-D weight that `node` turns, and the index of the input it comes in by."""
    if node.op_type == "Gemm":
        turned, index = "transB" in node.attributes and node.attributes["transB"].as_int() == 1, 1
    else:
        turned = "perm" not in node.attributes or list(node.attributes["perm"].as_ints()) == [1, 0]
        index = 0
    weight = graph.stored_weight(node.inputs[index])
    content = graph.array(weight.inputs[0]) if weight is not None else None
    return (weight, index) if turned and weight is not None and content is not None and content.ndim == 2 else None


def _turn(model: ir.Model, place: ir.Node, weight: ir.Node) -> ir.Value:
    """A DequantizeLinear of the transposed weight, in front of `place`."""
    stored, grid = weight.inputs[0], graph.grid(weight)
    content = graph.array(stored)
    assert stored is not None and grid is not None and content is not None
    turned = graph.initializer(model, f"{stored.name}_t", content.T)
    inputs = [turned, *weight.inputs[1:]]
    axis: dict[str, Any] = {} if grid.axis is None else {"axis": 1 - grid.axis % 2}
    return graph.before(model, place, "DequantizeLinear", inputs, f"{turned.name}_float", **axis)


@dataclass(frozen=True)
class FoldTransposes:
    """Transpose(DQ(w)) -> DQ(w transposed); Gemm with transB = 1 on a stored weight -> transB = 0."""

    name: str = "fold transposes"
    contract: str = "no stored weight is transposed when the model runs"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "Transpose", "Gemm"):
            found = _turned_weight(node)
            if found is None:
                continue
            weight, index = found
            turned = _turn(model, node, weight)
            if node.op_type == "Gemm":
                node.replace_input_with(index, turned)
                node.attributes["transB"] = ir.AttrInt64("transB", 0)
            else:
                graph.replace(model, node.outputs[0], turned)
                graph.drop(model, node)
            graph.drop(model, weight)
            done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [
            graph.title(node) for node in graph.nodes(model, "Transpose", "Gemm") if _turned_weight(node) is not None
        ]
