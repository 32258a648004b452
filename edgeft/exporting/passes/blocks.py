"""Pass 1a: weights in blocks are stored [in, out], a scale for each block of inputs of each output.

onnxruntime fuses DequantizeLinear(axis 0, block) -> MatMul, or Gemm with transB = 0, to MatMulNBits. With the weight
the other way round it does not: the whole weight would be dequantized at every run (quantization.md section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


def _block_of(node: ir.Node) -> int:
    return node.attributes["block_size"].as_int() if "block_size" in node.attributes else 0


def _turned(node: ir.Node) -> list[tuple[ir.Node, int]]:
    """Readers of a weight [out, in] that turn it: a Transpose, or a Gemm with transB = 1."""
    return [
        (reader, index)
        for reader, index in node.outputs[0].uses()
        if reader.op_type == "Transpose" or (reader.op_type == "Gemm" and reader.attributes["transB"].as_int() == 1)
    ]


@dataclass(frozen=True)
class StoreBlocks:
    """QuantizeLinear(w) -> DequantizeLinear -> turned, all in blocks, becomes DequantizeLinear(codes of w turned)."""

    name: str = "blocks"
    contract: str = "weights in blocks are stored as integers [in, out], blocks along the first axis"

    def apply(self, model: ir.Model) -> int:
        found = [node for node in graph.nodes(model, "QuantizeLinear") if _block_of(node)]
        for node in found:
            weight, scale = graph.array(node.inputs[0]), graph.array(node.inputs[1])
            assert weight is not None and scale is not None
            codes = self._codes(weight, scale, ir.DataType(node.attributes["output_dtype"].as_int()))
            for dequantize in list(node.outputs[0].consumers()):
                for reader, index in _turned(dequantize):
                    self._store(model, reader, index, str(node.inputs[0].name), codes.T, scale.T)  # type: ignore[union-attr]
                graph.drop(model, dequantize)
            graph.drop(model, node)
        return len(found)

    @staticmethod
    def _codes(weight: graph.Array, scale: graph.Array, kind: ir.DataType) -> graph.Array:
        """clip(rint(w / s)), as the runtime's QuantizeLinear computes it; the engine has clipped the weights before."""
        block = weight.shape[1] // scale.shape[1]
        codes = np.rint(weight.astype(np.float32) / np.repeat(scale, block, 1))
        least = -(2 ** (kind.bitwidth - 1))
        return np.clip(codes, least, -least - 1).astype(np.int8).astype(kind.numpy())

    @staticmethod
    def _store(model: ir.Model, reader: ir.Node, index: int, name: str, codes: graph.Array, scale: graph.Array) -> None:
        kind = str(codes.dtype)
        inputs = [
            graph.initializer(model, f"{name}_{kind}", codes),
            graph.initializer(model, f"{name}_scale", scale),
        ]
        block = codes.shape[0] // scale.shape[0]
        weight = graph.before(
            model, reader, "DequantizeLinear", inputs, f"{inputs[0].name}_float", axis=0, block_size=block
        )
        if reader.op_type == "Gemm":
            reader.replace_input_with(index, weight)
            reader.attributes["transB"] = ir.AttrInt64("transB", 0)
        else:
            graph.replace(model, reader.outputs[0], weight)
            graph.drop(model, reader)

    def broken(self, model: ir.Model) -> list[str]:
        pairs = [node for node in graph.quantized_pairs(model) if _block_of(node)]
        return [graph.title(node) for node in pairs if graph.array(node.inputs[0]) is None or self._lies(node)]

    @staticmethod
    def _lies(node: ir.Node) -> bool:
        grid = graph.grid(node)
        return node.op_type == "QuantizeLinear" or grid is None or grid.axis != 0 or bool(_turned(node))
