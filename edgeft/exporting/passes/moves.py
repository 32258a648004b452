"""Pass 5: what only moves numbers is done on the integers, where onnxruntime would not do that itself.

onnxruntime drops the pairs around Reshape, Transpose, Slice, Gather and others. It keeps them around GatherElements
(the relative positions of DeBERTa) and Pad, which would move 32-bit floats between two conversions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

_MOVES = ("GatherElements", "Pad")


def _source(node: ir.Node) -> ir.Node | None:
    """The DequantizeLinear whose integers `node` could move instead; a Conv takes a Pad in by itself."""
    source = graph.producer_of(node.inputs[0], "DequantizeLinear")
    grid = graph.grid(source) if source is not None else None
    if source is None or grid is None or grid.axis is not None or graph.array(source.inputs[0]) is not None:
        return None
    readers = node.outputs[0].consumers()
    if node.op_type == "Pad" and (_padding(node) is None or all(reader.op_type == "Conv" for reader in readers)):
        return None
    return source


def _padding(node: ir.Node) -> float | None:
    """The number a Pad writes; None when it copies or mirrors, or when the number is no constant of the file."""
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
    if mode != "constant":
        return None
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return 0.0
    value = graph.array(node.inputs[2])
    return None if value is None else float(value.reshape(()))


@dataclass(frozen=True)
class MoveIntegers:
    """Move(DQ(codes)) -> DQ(Move(codes)); a QuantizeLinear after it with the same grid is dropped."""

    name: str = "moves"
    contract: str = "no GatherElements and no Pad but that of a Conv reads a dequantized tensor"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, *_MOVES):
            source = _source(node)
            if source is None:
                continue
            name = str(node.outputs[0].name)
            inputs = [source.inputs[0], *node.inputs[1:]]
            if node.op_type == "Pad":
                inputs = [*inputs[:2], self._code(model, node, source, name), *inputs[3:]]
            moved = graph.before(model, node, node.op_type, inputs, f"{name}_codes", **graph.plain_attributes(node))
            graph.join(model, node.outputs[0], source, moved)
            if node.outputs[0].uses() or node.outputs[0].is_graph_output():
                inputs = [moved, *source.inputs[1:]]
                floats = graph.before(model, node, "DequantizeLinear", inputs, f"{name}_float")
                graph.replace(model, node.outputs[0], floats)
            graph.drop(model, node)
            graph.drop(model, source)
            done += 1
        return done

    @staticmethod
    def _code(model: ir.Model, node: ir.Node, source: ir.Node, name: str) -> ir.Value:
        """The padding as a QuantizeLinear would store it: clamped, so that -inf is the smallest code."""
        grid, value = graph.grid(source), _padding(node)
        assert grid is not None and value is not None
        kind = grid.zero_point.dtype
        bounds = np.iinfo(kind)
        code = np.rint(np.float32(value) / grid.scale.reshape(())) + float(grid.zero_point.reshape(()))
        return graph.initializer(model, f"{name}_padding", np.clip(code, bounds.min, bounds.max).astype(kind))

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, *_MOVES) if _source(node) is not None]
