"""Pass 1: weights are stored as integers.

Without it the file keeps 32-bit weights and a QuantizeLinear that onnxruntime folds at every load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph


@dataclass(frozen=True)
class FoldWeights:
    """QuantizeLinear of a constant -> an integer initializer; the DequantizeLinear stays.

    Narrower bounds than those of the storage type (7-bit weights) are kept by the engine, which clips weights to
    their own grid before it traces.
    """

    name: str = "fold weights"
    contract: str = "no QuantizeLinear reads a constant"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "QuantizeLinear"):
            content, grid = graph.array(node.inputs[0]), graph.grid(node)
            if content is None or grid is None:
                continue
            stored = graph.initializer(model, f"{node.inputs[0].name}_{grid.zero_point.dtype}",  # type: ignore[union-attr]
                                       self.codes(content, grid))  # fmt: skip
            graph.replace(model, node.outputs[0], stored)
            graph.drop(model, node)
            done += 1
        return done

    def codes(self, content: graph.Array, grid: graph.Grid) -> graph.Array:
        """clip(rint(w / s) + z): rint and the float32 division are what QuantizeLinear does."""
        kind = grid.zero_point.dtype
        bounds = np.iinfo(kind)
        shape = [1] * content.ndim
        if grid.axis is not None:
            shape[grid.axis] = -1
        scale, zero = grid.scale.reshape(shape), grid.zero_point.reshape(shape)
        code = np.rint(content.astype(np.float32) / scale) + zero.astype(np.float32)
        return np.clip(code, bounds.min, bounds.max).astype(kind)

    def broken(self, model: ir.Model) -> list[str]:
        return [
            graph.title(node)
            for node in graph.nodes(model, "QuantizeLinear")
            if graph.array(node.inputs[0]) is not None
        ]
