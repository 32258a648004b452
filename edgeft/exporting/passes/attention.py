"""Pass 12: the three linear layers in front of an attention kernel move into it.

QAttention (domain com.microsoft, CPU provider, uint8 data) multiplies the data by the weights of query, key and value
at once, in integers, and goes on in float as MultiHeadAttention does. Three products of 384 x 384 and an attention of
ten tokens: see docs/decisions/011 for what that saves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph

# Where MultiHeadAttention and QAttention have the mask.
_MASK, _PADDING = 4, 5
_LINEAR = graph.KERNELS[graph.LINEAR_KERNEL]


@dataclass(frozen=True)
class _Part:
    """Columns first..last of what a linear layer answers."""

    layer: ir.Node
    first: int
    last: int

    def of(self, place: int) -> graph.Array:
        """These columns of an input of the layer, [last - first] or [features, last - first]."""
        content = graph.array(self.layer.inputs[place])
        assert content is not None
        columns = self.last - self.first
        return content[..., self.first : self.last] if content.ndim else np.full(columns, content)


@dataclass(frozen=True)
class AttentionKernels:
    """MultiHeadAttention on three MatMulIntegerToFloat of the same uint8 data -> QAttention."""

    name: str = "attention kernels"
    contract: str = "no MultiHeadAttention reads three integer linear layers of the same uint8 data"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, graph.ATTENTION_KERNEL):
            parts = _parts(node)
            if parts:
                self._rewrite(model, node, parts)
                done += 1
        return done

    @staticmethod
    def _rewrite(model: ir.Model, node: ir.Node, parts: Sequence[_Part]) -> None:
        name, layer = str(node.name).removeprefix("node_"), parts[0].layer

        def packed(title: str) -> ir.Value:
            place = getattr(_LINEAR, title)
            return graph.initializer(model, f"{name}_{title}", np.concatenate([part.of(place) for part in parts], -1))

        at = graph.KERNELS[graph.PACKED_ATTENTION]
        inputs: list[ir.Value | None] = [None] * (at.weight_zero + 1)
        inputs[0], inputs[_PADDING] = layer.inputs[0], node.inputs[_MASK] if len(node.inputs) > _MASK else None
        inputs[at.data_scale], inputs[at.data_zero] = layer.inputs[_LINEAR.data_scale], layer.inputs[_LINEAR.data_zero]
        inputs[at.weight], inputs[at.weight_scale] = packed("weight"), packed("weight_scale")
        inputs[at.weight_zero], inputs[at.bias] = packed("weight_zero"), packed("bias")
        heads = node.attributes["num_heads"].as_int()
        scale, usual = node.attributes["scale"].as_float(), 1 / math.sqrt((parts[0].last - parts[0].first) / heads)
        # The kernel's own scale where it is that one: older releases know no other.
        other = {} if math.isclose(scale, usual, rel_tol=1e-6) else {"scale": scale}
        new = graph.before(
            model, node, graph.PACKED_ATTENTION, inputs, name, domain=graph.MICROSOFT, num_heads=heads, **other
        )
        graph.replace(model, node.outputs[0], new)
        read = [value.producer() for value in node.inputs[:3] if value is not None]
        for each in (node, *read, *(part.layer for part in parts)):
            if each is not None and each.graph is not None:
                graph.drop(model, each)

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, graph.ATTENTION_KERNEL) if _parts(node)]


def _parts(node: ir.Node) -> list[_Part]:
    """Query, key and value; nothing when the kernel cannot take them in."""
    parts = [_part(value) for value in node.inputs[:3]]
    if any(part is None for part in parts):
        return []
    found = [part for part in parts if part is not None]
    first = found[0].layer
    same = all(_alike(part.layer, first) for part in found)
    zero = graph.array(first.inputs[_LINEAR.data_zero])
    wide = {part.last - part.first for part in found}
    return found if same and zero is not None and zero.dtype == np.uint8 and len(wide) == 1 else []


def _alike(one: ir.Node, other: ir.Node) -> bool:
    """Do both layers read the same data on the same grid?"""
    places = (_LINEAR.data_scale, _LINEAR.data_zero)
    grids = ((graph.array(one.inputs[place]), graph.array(other.inputs[place])) for place in places)
    return one.inputs[0] is other.inputs[0] and all(np.array_equal(a, b) for a, b in grids)  # type: ignore[arg-type]


def _part(value: ir.Value | None) -> _Part | None:
    cut = graph.producer_of(value, "Slice")
    if cut is not None:
        value = cut.inputs[0]
    layer = graph.producer_of(value, graph.LINEAR_KERNEL)
    if layer is None or len(layer.inputs) <= _LINEAR.bias or value is None:
        return None
    bias = graph.array(layer.inputs[_LINEAR.bias])
    if bias is None:
        return None
    if cut is None:
        return _Part(layer, 0, bias.size) if len(value.uses()) == 1 else None
    first, last, axis = (graph.array(each) for each in cut.inputs[1:4])
    if first is None or last is None or axis is None or axis.reshape(-1).tolist() not in ([2], [-1]):
        return None
    return _Part(layer, int(first.reshape(())), min(int(last.reshape(())), bias.size))
