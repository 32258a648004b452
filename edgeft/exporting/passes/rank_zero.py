"""Pass 9: scale and zero point of a per-tensor grid are scalars.

onnxruntime leaves Add and the removal of a clip unfused, without a word, when they have shape [1].
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph


def _one_element_vectors(node: ir.Node) -> list[int]:
    contents = {index: graph.array(node.inputs[index]) for index in range(1, len(node.inputs))}
    return [index for index, content in contents.items() if content is not None and content.shape == (1,)]


@dataclass(frozen=True)
class ScalarGrids:
    """Scale and zero point of shape [1] -> rank 0, and no axis."""

    name: str = "scalar grids"
    contract: str = "no QuantizeLinear or DequantizeLinear has a scale or zero point of shape [1]"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.quantized_pairs(model):
            for index in _one_element_vectors(node):
                value, content = node.inputs[index], graph.array(node.inputs[index])
                assert value is not None and content is not None
                node.replace_input_with(index, graph.initializer(model, f"{value.name}_scalar", content.reshape(())))
                node.attributes.pop("axis", None)
                done += 1
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.quantized_pairs(model) if _one_element_vectors(node)]
