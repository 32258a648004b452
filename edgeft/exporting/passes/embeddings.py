"""Pass 4: rows of an embedding table are looked up as integers.

DequantizeLinear in front of the Gather would dequantize the whole table at every run (20 ms against 0.04 ms for
30,522 rows of 768, quantization.md 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph


def _table(node: ir.Node) -> ir.Node | None:
    """The DequantizeLinear of the per-tensor table that a Gather reads."""
    weight = graph.stored_weight(node.inputs[0])
    grid = graph.grid(weight) if weight is not None else None
    return weight if grid is not None and grid.axis is None else None


@dataclass(frozen=True)
class GatherIntegers:
    """Gather(DQ(table)) -> DQ(Gather(table)); a QuantizeLinear after it with the table's own grid is dropped."""

    name: str = "embeddings"
    contract: str = "no DequantizeLinear stands before the Gather of a table"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "Gather"):
            weight = _table(node)
            if weight is None:
                continue
            name = str(node.outputs[0].name)
            inputs = [weight.inputs[0], node.inputs[1]]
            rows = graph.before(model, node, "Gather", inputs, f"{name}_codes", **graph.axis_of(node))
            graph.join(model, node.outputs[0], weight, rows)
            if node.outputs[0].uses() or node.outputs[0].is_graph_output():
                inputs = [rows, *weight.inputs[1:]]
                floats = graph.before(model, node, "DequantizeLinear", inputs, f"{name}_float")
                graph.replace(model, node.outputs[0], floats)
            graph.drop(model, node)
            graph.drop(model, weight)
            done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [
            graph.title(node)
            for node in graph.nodes(model, "Gather")
            if graph.stored_weight(node.inputs[0]) is not None
        ]
