"""Pass 9: a product that is to compute in float does so.

onnxruntime quantizes the constant float weight of a Conv or Gemm that reads dequantized data when it loads the file,
with one scale for the whole tensor (WeightBiasQuantization in core/optimizer/qdq_transformer). It leaves a node alone
whose bias is no plain constant. So the bias of such a product is stored as int32 codes 2**-30 of its largest value
apart: an error far below that of a float32 sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

_STEPS = 2.0**30
# onnxruntime folds the first into a Conv, and moves a DequantizeLinear behind the others.
_MOVES = frozenset("Pad Reshape Flatten Transpose Squeeze Unsqueeze Slice Gather Split MaxPool Expand".split())


def _is_dequantized(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    while producer is not None and producer.op_type in _MOVES and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    return producer is not None and producer.op_type == "DequantizeLinear"


def _open(node: ir.Node) -> bool:
    """Would onnxruntime quantize this product's float weight?"""
    if not _is_dequantized(node.inputs[0]):
        return False
    weight = node.inputs[1]
    if weight is None or not weight.is_initializer() or weight.dtype != ir.DataType.FLOAT:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return bias is None or bias.is_initializer()


@dataclass(frozen=True)
class ShieldFloatProducts:
    """A constant bias of a Conv or Gemm with a float weight and dequantized data -> int32 and DequantizeLinear."""

    name: str = "float products"
    contract: str = "the bias of a float product of dequantized data is no plain constant"

    def apply(self, model: ir.Model) -> int:
        chosen = [node for node in graph.nodes(model, "Conv", "Gemm") if _open(node)]
        for node in chosen:
            self._store(model, node)
        return len(chosen)

    @staticmethod
    def _store(model: ir.Model, node: ir.Node) -> None:
        given = node.inputs[2] if len(node.inputs) > 2 else None
        bias = graph.array(given) if given is not None else np.zeros(_width(node), np.float32)
        assert bias is not None
        scale = np.float32(max(float(np.abs(bias).max(initial=0.0)), 1e-30) / _STEPS)
        codes = np.rint(bias.astype(np.float64) / float(scale)).astype(np.int32)
        name = f"{node.outputs[0].name}_float_bias"
        inputs = [
            graph.initializer(model, f"{name}_int32", codes),
            graph.initializer(model, f"{name}_scale", scale),
            graph.initializer(model, f"{name}_zero_point", np.zeros((), np.int32)),
        ]
        stored = graph.before(model, node, "DequantizeLinear", inputs, name)
        while len(node.inputs) < 3:
            node.resize_inputs(len(node.inputs) + 1)
        node.replace_input_with(2, stored)

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "Conv", "Gemm") if _open(node)]


def _width(node: ir.Node) -> int:
    """How many output channels the weight has."""
    weight = graph.array(node.inputs[1])
    assert weight is not None
    transposed = node.op_type == "Conv" or ("transB" in node.attributes and node.attributes["transB"].as_int() == 1)
    return int(weight.shape[0 if transposed else 1])
