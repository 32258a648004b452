"""Pass 6: a mean over all axes behind the channels becomes GlobalAveragePool.

The exporter writes ReduceMean, which onnxruntime computes in float; GlobalAveragePool has an integer kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


def _pooled_axes(node: ir.Node) -> list[int] | None:
    """[2] of [batch, channels, time] or [2, 3] of an image; None when `node` is no mean over just these."""
    data = node.inputs[0]
    axes = graph.array(node.inputs[1]) if len(node.inputs) > 1 else None
    if data is None or data.shape is None or len(data.shape) not in (3, 4) or axes is None:
        return None
    rank = len(data.shape)
    return list(range(2, rank)) if sorted(int(axis) % rank for axis in axes.ravel()) == list(range(2, rank)) else None


@dataclass(frozen=True)
class PoolGlobally:
    """ReduceMean over the axes behind the first two -> GlobalAveragePool (and Squeeze, when they are not kept).

    pairs   the Squeeze stands between quantized pairs of its own instead of moving bare integers
    """

    pairs: bool = False
    name: str = "pooling"
    contract: str = "no ReduceMean over all axes behind the channels"

    def apply(self, model: ir.Model) -> int:
        found = [(node, axes) for node in graph.nodes(model, "ReduceMean") if (axes := _pooled_axes(node))]
        for node, axes in found:
            name = str(node.outputs[0].name)
            pooled = graph.before(model, node, "GlobalAveragePool", [node.inputs[0]], f"{name}_pooled")
            kept = "keepdims" not in node.attributes or node.attributes["keepdims"].as_int() == 1
            if kept:
                graph.replace(model, node.outputs[0], pooled)
            else:
                self._squeeze(model, node, pooled, name, axes)
            graph.drop(model, node)
        return len(found)

    def _squeeze(self, model: ir.Model, node: ir.Node, pooled: ir.Value, name: str, dropped: list[int]) -> None:
        """Drop the axes; behind a QuantizeLinear from the integers, so that the pool stays fused."""
        axes = graph.initializer(model, f"{name}_axes", np.array(dropped, np.int64))
        users = list(node.outputs[0].consumers())
        if len(users) == 1 and users[0].op_type == "QuantizeLinear" and not node.outputs[0].is_graph_output():
            user = users[0]
            grid = user.inputs[1:]
            flat = graph.before(model, user, "QuantizeLinear", [pooled, *grid], f"{name}_codes")
            if self.pairs:
                flat = graph.before(model, user, "DequantizeLinear", [flat, *grid], f"{name}_wide")
            flat = graph.before(model, user, "Squeeze", [flat, axes], f"{name}_flat")
            if self.pairs:
                flat = graph.before(model, user, "QuantizeLinear", [flat, *grid], f"{name}_flat_codes")
            graph.replace(model, user.outputs[0], flat)
            graph.drop(model, user)
        else:
            graph.replace(
                model, node.outputs[0], graph.before(model, node, "Squeeze", [pooled, axes], f"{name}_flat")
            )

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, "ReduceMean") if _pooled_axes(node)]
