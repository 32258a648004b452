"""Pass 8: biases are 32-bit integers on the grid of the accumulator they are added to, s_b = s_x * s_w.

The scales are read from the file, so there is one source of truth. A bias on any other grid is silently wrong in
onnxruntime's QGemm, which adds the integers without looking at their scale (quantization.md 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

# The largest code a bias may take; one less than int32 holds, so that a clipped bias can be told from a large one.
LARGEST = 2**31 - 2
# Where a bias does not fit, its scale is enlarged so that it is half of what fits: s_x may still be rescaled.
_ROOM = 2.0**30


def open_bias(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The slot of a bias that must be an integer one: the product's data and weight are dequantized."""
    if graph.product_scale(node) is None:
        return None
    for attribute in ("alpha", "beta"):
        if attribute in node.attributes and node.attributes[attribute].as_float() != 1.0:
            return None
    return graph.bias_slot(node)


def _fits(model: ir.Model, node: ir.Node, bias: graph.Array) -> None:
    """Enlarge the weight scale of channels whose bias would not fit int32: a channel of zeros has the scale 1e-8."""
    scale = graph.product_scale(node)
    assert scale is not None
    too_large = np.abs(bias.astype(np.float64)) > scale.astype(np.float64) * LARGEST
    if not too_large.any():
        return
    weight = graph.stored_weight(node.inputs[1])
    assert weight is not None
    grid, codes = graph.grid(weight), graph.array(weight.inputs[0])
    assert grid is not None and codes is not None
    per_channel = np.broadcast_to(grid.scale.reshape(-1), bias.shape)
    needed = np.abs(bias.astype(np.float64)) / (scale / per_channel).astype(np.float64) / _ROOM
    new = np.where(too_large, needed, per_channel).astype(np.float32)
    if grid.axis is None:
        new = np.full(grid.scale.shape, new.max(), np.float32)
    shape = [1] * codes.ndim
    if grid.axis is not None:
        shape[grid.axis] = -1
    ratio = (grid.scale.astype(np.float64) / new).reshape(shape)
    name = str(weight.inputs[0].name)  # type: ignore[union-attr]
    inputs = [
        graph.initializer(model, name, np.rint(codes * ratio).astype(codes.dtype)),
        graph.initializer(model, f"{name}_scale", new),
        *weight.inputs[2:],
    ]
    attributes: dict[str, Any] = {} if grid.axis is None else {"axis": grid.axis}
    node.replace_input_with(1, graph.before(model, node, "DequantizeLinear", inputs, f"{name}_fitted", **attributes))
    graph.drop(model, weight)


def is_on_grid(node: ir.Node) -> bool:
    """True when the bias of `node` is stored as int32 with |s_b / (s_x * s_w) - 1| <= 1e-6 and no code is clipped."""
    slot, expected = graph.bias_slot(node), graph.product_scale(node)
    assert slot is not None and expected is not None
    stored = graph.stored_weight(slot[0].inputs[slot[1]])
    found = graph.grid(stored) if stored is not None else None
    codes = graph.array(stored.inputs[0]) if stored is not None else None
    if found is None or codes is None or codes.dtype != np.int32 or found.scale.size not in (1, expected.size):
        return False
    ratio = found.scale.astype(np.float64).reshape(-1) / expected.astype(np.float64).reshape(-1)
    return bool(np.all(np.abs(ratio - 1) <= 1e-6) and np.all(np.abs(codes.astype(np.int64)) <= LARGEST))


def is_float_on_grid(node: ir.Node) -> bool:
    """True when the float bias of one of KERNELS is a multiple of s_x * s_w that fits int32, within float32's eps."""
    at = graph.KERNELS[node.op_type]
    of_data, of_weight, bias = (graph.array(node.inputs[index]) for index in (at.data_scale, at.weight_scale, at.bias))
    assert of_data is not None and of_weight is not None and bias is not None
    step = of_data.astype(np.float32) * of_weight.astype(np.float32)
    codes = bias.astype(np.float64) / step.astype(np.float64)
    away = np.abs(codes - np.rint(codes))
    return bool(np.all(away <= np.abs(codes) * np.finfo(np.float32).eps + 1e-6) and np.all(np.abs(codes) <= LARGEST))


@dataclass(frozen=True)
class QuantizeBiases:
    """A float bias of an integer product -> int32 initializer and DequantizeLinear(s_x * s_w, zero point 0)."""

    name: str = "biases"
    contract: str = "every bias of an integer product is int32 with scale s_x * s_w"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, *graph.PRODUCTS):
            slot = open_bias(node)
            if slot is None or graph.array(slot[0].inputs[slot[1]]) is None:
                continue
            self._store(model, node, *slot)
            done += 1
        return done

    @staticmethod
    def _store(model: ir.Model, node: ir.Node, reader: ir.Node, index: int) -> None:
        value = reader.inputs[index]
        bias = graph.array(value)
        assert value is not None and bias is not None
        _fits(model, node, bias)
        scale = graph.product_scale(node)
        assert scale is not None
        # float64: an int32 code does not fit the 24 bits of a float32.
        codes = np.clip(np.rint(bias.astype(np.float64) / scale.astype(np.float64)), -LARGEST, LARGEST)
        name = f"{value.name}_int32"
        inputs = [
            graph.initializer(model, name, codes.astype(np.int32)),
            graph.initializer(model, f"{name}_scale", scale),
            graph.initializer(model, f"{name}_zero_point", np.zeros(scale.shape, np.int32)),
        ]
        attributes: dict[str, Any] = {"axis": 0} if scale.ndim else {}
        reader.replace_input_with(
            index, graph.before(model, reader, "DequantizeLinear", inputs, f"{inputs[0].name}_float", **attributes)
        )

    def broken(self, model: ir.Model) -> list[str]:
        products = graph.nodes(model, *graph.PRODUCTS)
        return [graph.title(node) for node in products if open_bias(node) is not None and not is_on_grid(node)]
