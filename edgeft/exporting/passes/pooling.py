"""Pass 5: a mean over both image axes becomes GlobalAveragePool.

The exporter writes ReduceMean, which onnxruntime computes in float; GlobalAveragePool has an integer kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


def _is_pooling(node: ir.Node) -> bool:
    data = node.inputs[0]
    axes = graph.array(node.inputs[1]) if len(node.inputs) > 1 else None
    if data is None or data.shape is None or len(data.shape) != 4 or axes is None:
        return False
    return sorted(int(axis) % 4 for axis in axes.ravel()) == [2, 3]


@dataclass(frozen=True)
class PoolGlobally:
    """ReduceMean over axes 2, 3 of a 4-D tensor -> GlobalAveragePool (and Squeeze, when the axes are not kept)."""

    name: str = "pooling"
    contract: str = "no ReduceMean over both image axes"

    def apply(self, model: ir.Model) -> int:
        found = [node for node in graph.nodes(model, "ReduceMean") if _is_pooling(node)]
        for node in found:
            name = str(node.outputs[0].name)
            pooled = graph.before(model, node, "GlobalAveragePool", [node.inputs[0]], f"{name}_pooled")
            kept = "keepdims" not in node.attributes or node.attributes["keepdims"].as_int() == 1
            if kept:
                graph.replace(model, node.outputs[0], pooled)
            else:
                self._squeeze(model, node, pooled, name)
            graph.drop(model, node)
        return len(found)

    @staticmethod
    def _squeeze(model: ir.Model, node: ir.Node, pooled: ir.Value, name: str) -> None:
        """Drop the two axes; behind a QuantizeLinear from the integers, so that the pool stays fused."""
        axes = graph.initializer(model, f"{name}_axes", np.array([2, 3], np.int64))
        users = list(node.outputs[0].consumers())
        if len(users) == 1 and users[0].op_type == "QuantizeLinear" and not node.outputs[0].is_graph_output():
            user = users[0]
            codes = graph.before(model, user, "QuantizeLinear", [pooled, *user.inputs[1:]], f"{name}_codes")
            graph.replace(model, user.outputs[0], graph.before(model, user, "Squeeze", [codes, axes], f"{name}_flat"))
            graph.drop(model, user)
        else:
            graph.replace(
                model, node.outputs[0], graph.before(model, node, "Squeeze", [pooled, axes], f"{name}_flat")
            )

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "ReduceMean") if _is_pooling(node)]
