"""A file whose integer kernels are exact on any workstation, so that it can be judged there for another target.

On a processor without VNNI products of uint8 data and 8-bit weights saturate (edgeft.cpu). onnxruntime has a way out,
which its optimizer takes (sessions.py); a linear kernel that the file itself holds is out of its reach while the
optimizer is off. Moved to uint8 by 128, zero points too, weights are multiplied exactly: q - z stays what it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

_SHIFT = 128
# Of each integer kernel that a file itself holds: where its weight and its zero point stand, and the zero point of its
# data, which has the data's type. Ranges taken at run time are always uint8.
_PLACES: dict[str, tuple[tuple[int, int], int | None]] = {
    "MatMulInteger": ((1, 3), None),
    **{kind: ((at.weight, at.weight_zero), at.data_zero) for kind, at in graph.KERNELS.items()},
}


def exact(path: Path) -> bytes | None:
    """The file with the int8 weights of its linear kernels as uint8; None when it holds none that read uint8 data.

    Products of two int8 numbers are added in 32 bits on every processor.
    """
    model = _load(path)
    if model is None:
        return None
    moved: dict[ir.Value, ir.Value] = {}
    changed = False
    for node in graph.nodes(model, *_PLACES):
        weights, data = _PLACES[node.op_type]
        zero_point = graph.array(node.inputs[data]) if data is not None else np.uint8(0)
        if zero_point is None or zero_point.dtype != np.uint8:
            continue
        if len(node.inputs) <= weights[-1]:
            node.resize_inputs(weights[-1] + 1)
        for index in weights:
            value = node.inputs[index]
            content = graph.array(value) if value is not None else np.int8(0)  # a zero point left out is 0
            if content is None or content.dtype != np.int8:
                continue
            new = moved.get(value) if value is not None else None
            if new is None:
                shifted = (content.astype(np.int16) + _SHIFT).astype(np.uint8)
                new = graph.initializer(model, f"{node.name}_{index}_u8", shifted)
            if value is not None:
                moved[value] = new
            node.replace_input_with(index, new)
            changed = True
    return ir.serde.serialize_model(model).SerializeToString() if changed else None


def holds_int8_blocks(path: Path) -> bool:
    """Are there int8 weights with a scale for each block of inputs?"""
    model = _load(path)
    pairs = graph.nodes(model, "DequantizeLinear") if model is not None else []
    return any("block_size" in node.attributes and _is_int8(node.inputs[0]) for node in pairs)


def _is_int8(value: ir.Value | None) -> bool:
    content = graph.array(value)
    return content is not None and content.dtype == np.int8


def _load(path: Path) -> ir.Model | None:
    """None for a file that is no model: onnxruntime, which opens it next, says so with its name."""
    try:
        return ir.load(path)
    except Exception:
        return None
