"""Pass 11: 8-bit activations are stored in the type the target's kernels take.

u8 and s8 affine grids are the same 256 levels shifted by 128, so the type is a choice of the export. Weights,
which are symmetric, keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

_TYPES = {"u8": np.dtype(np.uint8), "s8": np.dtype(np.int8)}
# Integer tensors pass through these between a QuantizeLinear and a DequantizeLinear.
_MOVES = (
    "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice", "Gather", "GatherElements", "Expand", "Pad",
)  # fmt: skip


def _source(value: ir.Value | None) -> ir.Value | None:
    """The integers that `value` moves about."""
    while value is not None and value.producer() is not None and value.producer().op_type in _MOVES:  # type: ignore[union-attr]
        value = value.producer().inputs[0]  # type: ignore[union-attr]
    return value


def _is_weight(node: ir.Node) -> bool:
    """A DequantizeLinear of a weight or a bias: not an activation. Rows of a table are activations, which a sum of
    embeddings in integers needs in the type of everything else."""
    source = _source(node.inputs[0])
    if source is None or not source.is_initializer() or source is not node.inputs[0]:
        return False
    readers = node.outputs[0].uses()
    return any(user.op_type in graph.PRODUCTS and index > 0 for user, index in readers)


def _activations(model: ir.Model) -> list[tuple[ir.Node, graph.Grid]]:
    found = []
    for node in graph.quantized_pairs(model):
        grid = graph.grid(node)
        if grid is None or grid.zero_point.dtype not in _TYPES.values():
            continue
        if node.op_type == "QuantizeLinear" or not _is_weight(node):
            found.append((node, grid))
    return found


def _shift(content: graph.Array, to: np.dtype[np.generic]) -> graph.Array:
    step = 128 if to == np.uint8 else -128
    return (content.astype(np.int16) + step).astype(to)


@dataclass(frozen=True)
class StoreActivationsAs:
    """Zero points and constants of activations move by 128 from u8 to s8 or back; nothing computed changes."""

    dtype: str
    name: str = "activation type"
    contract: str = "all 8-bit activations have the target's type"

    def apply(self, model: ir.Model) -> int:
        to = _TYPES[self.dtype]
        wrong = [(node, grid) for node, grid in _activations(model) if grid.zero_point.dtype != to]
        for node, grid in wrong:
            zero = node.inputs[2]
            assert zero is not None
            node.replace_input_with(2, graph.initializer(model, f"{zero.name}_{to}", _shift(grid.zero_point, to)))
            constant = _source(node.inputs[0])
            content = graph.array(constant) if node.op_type == "DequantizeLinear" else None
            if constant is not None and content is not None and content.dtype != to:
                shifted = graph.initializer(model, f"{constant.name}_{to}", _shift(content, to))
                constant.replace_all_uses_with(shifted)
        for node in graph.nodes(model, "Pad"):
            code = graph.array(node.inputs[2]) if len(node.inputs) > 2 else None
            if code is not None and code.dtype in _TYPES.values() and code.dtype != to:
                node.replace_input_with(2, graph.initializer(model, f"{node.name}_{to}", _shift(code, to)))
        if wrong:
            graph.forget_types(model)
        return len(wrong)

    def broken(self, model: ir.Model) -> list[str]:
        to = _TYPES[self.dtype]
        return [graph.title(node) for node, grid in _activations(model) if grid.zero_point.dtype != to]
