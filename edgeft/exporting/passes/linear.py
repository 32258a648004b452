"""Pass 11: a linear layer becomes the one integer kernel onnxruntime's CPU provider has for it.

MatMulIntegerToFloat (domain com.microsoft, in every onnxruntime since 1.2) multiplies integers, scales the sum and
adds the bias in float. onnxruntime itself reaches it only for a layer without bias. MiniLM, ten tokens, one thread
(AVX512-VNNI and AMX): as Gemm on a reshaped tensor 44 us a layer and a Shape, a Concat and two Reshapes around it,
as MatMulIntegerToFloat 29 us (docs/decisions/005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.passes.gemm import linear


@dataclass(frozen=True)
class LinearKernels:
    """MatMul(DQ x, DQ W), Add(DQ b) -> MatMulIntegerToFloat on the integers; the bias keeps its values, in float32."""

    name: str = "linear kernels"
    contract: str = "no MatMul of a dequantized tensor and a stored weight is followed by the Add of its bias"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "MatMul"):
            found = linear(node)
            if found is not None:
                self._rewrite(model, node, *found)
                done += 1
        if done:
            model.opset_imports[graph.MICROSOFT] = 1
        return done

    @staticmethod
    def _rewrite(model: ir.Model, node: ir.Node, data: ir.Node, add: ir.Node, index: int) -> None:
        weight, bias = graph.stored_weight(node.inputs[1]), add.inputs[index]
        of_data, of_weight = graph.grid(data), graph.grid(weight) if weight is not None else None
        assert weight is not None and bias is not None and of_data is not None and of_weight is not None
        name = str(node.name).removeprefix("node_")
        inputs = [
            data.inputs[0],
            weight.inputs[0],
            graph.initializer(model, f"{name}_data_scale", of_data.scale.reshape(())),
            graph.initializer(model, f"{name}_weight_scale", of_weight.scale),
            graph.initializer(model, f"{name}_data_zero_point", of_data.zero_point.reshape(())),
            graph.initializer(model, f"{name}_weight_zero_point", of_weight.zero_point),
            graph.initializer(model, f"{name}_bias", _values(bias)),
        ]
        product = graph.before(model, add, graph.LINEAR_KERNEL, inputs, name, domain=graph.MICROSOFT)
        graph.replace(model, add.outputs[0], product)
        for each in (add, node, data, weight, graph.stored_weight(bias)):
            if each is not None:
                graph.drop(model, each)

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "MatMul") if linear(node) is not None]


def _values(bias: ir.Value) -> graph.Array:
    """The constant `bias` as float32, through its grid when it is stored as integers."""
    stored = graph.stored_weight(bias)
    content = graph.bias_content(bias)
    assert content is not None
    if stored is None:
        return content
    grid = graph.grid(stored)
    assert grid is not None
    values: graph.Array = (content.astype(np.float64) * grid.scale.astype(np.float64)).astype(np.float32)
    return values
