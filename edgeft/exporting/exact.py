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
# Of a linear kernel's inputs the weight and its zero points; and the zero point of its data, which has the data's type.
_MOVED = (1, 5)
_DATA_ZERO_POINT = 4


def exact(path: Path) -> bytes | None:
    """The file with the int8 weights of its linear kernels as uint8; None when it holds none that read uint8 data.

    Products of two int8 numbers are added in 32 bits on every processor.
    """
    try:
        model = ir.load(path)
    except Exception:  # a file that is no model: onnxruntime, which opens it next, says so with its name
        return None
    kernels = graph.nodes(model, graph.LINEAR_KERNEL)
    moved: dict[ir.Value, ir.Value] = {}
    for node in kernels:
        zero_point = graph.array(node.inputs[_DATA_ZERO_POINT])
        if zero_point is None or zero_point.dtype != np.uint8:
            continue
        for index in _MOVED:
            value = node.inputs[index]
            content = graph.array(value)
            if value is None or content is None or content.dtype != np.int8:
                continue
            if value not in moved:
                shifted = (content.astype(np.int16) + _SHIFT).astype(np.uint8)
                moved[value] = graph.initializer(model, f"{value.name}_u8", shifted)
            node.replace_input_with(index, moved[value])
    return ir.serde.serialize_model(model).SerializeToString() if moved else None
