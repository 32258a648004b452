"""For float files: a weight used in several places is stored once.

The exporter turns the weight of each linear layer around on its own, so layers that share one get a copy each
(ALBERT: 340 MB instead of 45, huggingface/optimum PR#1326).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import onnx_ir as ir

# Smaller constants are shapes and scalars, which are cheaper to read apart.
_WORTH_BYTES = 1024
_Key = tuple[str, tuple[int, ...], bytes]


def _copies(model: ir.Model) -> list[tuple[ir.Value, ir.Value]]:
    """(copy, first) of every initializer with the content of an earlier one."""
    first: dict[_Key, ir.Value] = {}
    found = []
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _WORTH_BYTES:
            continue
        key = (str(tensor.dtype), tuple(tensor.shape.numpy()), hashlib.sha256(tensor.tobytes()).digest())
        if key in first:
            found.append((value, first[key]))
        first.setdefault(key, value)
    return found


@dataclass(frozen=True)
class MergeConstants:
    """Readers of equal constants read one of them."""

    name: str = "merge constants"
    contract: str = "no large constant is stored twice"

    def apply(self, model: ir.Model) -> int:
        copies = [pair for pair in _copies(model) if not pair[0].is_graph_output()]
        for copy, first in copies:
            copy.replace_all_uses_with(first)
            model.graph.initializers.pop(str(copy.name))
        return len(copies)

    def broken(self, model: ir.Model) -> list[str]:
        return [str(copy.name) for copy, _ in _copies(model) if not copy.is_graph_output()]
