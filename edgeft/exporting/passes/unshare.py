"""Pass 10: a stored weight, bias or scale has one reader.

Shared ones crash or mislead some runtimes (microsoft/onnxruntime#28306, onnxruntime-qnn#739: each reader of a bias
has its own s_x * s_w). A model that uses one weight in several places is stored that often, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph


def _shared(model: ir.Model) -> Iterator[tuple[ir.Node, int, ir.Value]]:
    """(reader, input index, constant) of every quantized pair that reads a constant something else reads too."""
    for node in graph.quantized_pairs(model):
        for index, value in enumerate(node.inputs):
            if value is not None and value.is_initializer() and len(value.uses()) > 1:
                yield node, index, value


def _shared_weights(model: ir.Model) -> list[ir.Node]:
    """DequantizeLinear of a constant with several readers."""
    return [
        node
        for node in graph.nodes(model, "DequantizeLinear")
        if graph.stored_weight(node.outputs[0]) is not None and len(node.outputs[0].uses()) > 1
    ]


@dataclass(frozen=True)
class Unshare:
    """Every reader gets its own constant, and every product its own DequantizeLinear of a weight."""

    name: str = "un-share"
    contract: str = "no quantized constant has two readers"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in _shared_weights(model):
            for reader, index in list(node.outputs[0].uses())[1:]:
                name = f"{node.outputs[0].name}_{reader.name}"
                own = graph.before(
                    model, reader, "DequantizeLinear", list(node.inputs), name, **graph.axis_of(node)
                )
                reader.replace_input_with(index, own)
                done += 1
        for node, index, value in _shared(model):
            content = graph.array(value)
            assert content is not None
            node.replace_input_with(index, graph.initializer(model, str(value.name), content))
            done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        weights = [graph.title(node) for node in _shared_weights(model)]
        return weights + [f"{graph.title(node)} ({value.name})" for node, _, value in _shared(model)]
