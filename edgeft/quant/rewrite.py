"""Operators written as others that integer kernels exist for, before quantizers are placed.

Always (PLAIN): pooling that leaves one value a channel is a mean, however it was called. The exporter writes an
adaptive pool of a turned tensor as a look-up by computed addresses, and a window larger than the image gives other
numbers in onnxruntime's integer kernel than in its float one (measured with 1.32: cosine 0.90 of the logits).

By the target's scheme:

silu         x * sigmoid(x): a product and a table look-up in integers, where the whole would be computed in float
hardswish    x * hardsigmoid(x): the product in integers, the gate in float
hardsigmoid  of a product nobody else reads: clip(x / 6 + 1 / 2, 0, 1) with the line in the product's weights; the grid
             of the output then does the clip, and nothing is left to compute
addcmul      a product and a sum
roll         slices in another order: moves of integers
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import fx

from edgeft.quant.fold import absorb, product_behind
from edgeft.quant.nodes import call_before, cleaned
from edgeft.quant.operators import name_of

aten = torch.ops.aten


# What every target gets, and the float file too.
PLAIN = frozenset({"adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d"})


def rewrite(graph: fx.GraphModule, operators: Collection[str]) -> None:
    """Write the operators of these names (keys of REWRITES) as others, wherever that can be done."""
    for node in list(graph.graph.nodes):
        if name_of(node) in operators:
            new = REWRITES[name_of(node)](graph, node)
            if new is not None:
                node.replace_all_uses_with(new)
                graph.graph.erase_node(node)
    cleaned(graph)


def _gated(gate: torch._ops.OpOverload) -> Callable[[fx.GraphModule, fx.Node], fx.Node | None]:
    def write(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
        x = node.args[0]
        return call_before(graph, node, aten.mul.Tensor, x, call_before(graph, node, gate, x))

    return write


def _hardsigmoid(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    product = product_behind(graph, node.args[0])
    if product is None:
        return None
    absorb(graph, product.node, torch.tensor(1 / 6), torch.tensor(0.5))
    return call_before(graph, node, aten.clamp.default, node.args[0], 0.0, 1.0)


def _adaptive_pool(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """A pool to one value a channel."""
    sizes = node.args[1]
    assert isinstance(sizes, (list, tuple))
    return _mean(graph, node, len(sizes)) if all(size == 1 for size in sizes) else None


def _pool(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """A pool whose one window covers the whole image; without padding it divides by what it covers."""
    window, x = node.args[1], node.args[0]
    assert isinstance(window, (list, tuple)) and isinstance(x, fx.Node)
    padding = node.args[3] if len(node.args) > 3 else []
    axes = len(window)
    image, pooled = x.meta["val"].shape[-axes:], node.meta["val"].shape[-axes:]
    covered = all(isinstance(size, int) for size in image) and all(a >= b for a, b in zip(window, image, strict=True))
    padded = any(size != 0 for size in padding)  # type: ignore[union-attr]
    divides = len(node.args) > 6 and node.args[6] is not None
    return _mean(graph, node, axes) if covered and not padded and not divides and set(pooled) == {1} else None


def _mean(graph: fx.GraphModule, node: fx.Node, axes: int) -> fx.Node:
    return call_before(graph, node, aten.mean.dim, node.args[0], list(range(-axes, 0)), True)


def _addcmul(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    base, one, other = node.args[:3]
    if node.kwargs.get("value", 1) != 1:
        return None
    return call_before(graph, node, aten.add.Tensor, base, call_before(graph, node, aten.mul.Tensor, one, other))


def _roll(graph: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    x, shifts = node.args[:2]
    axes = node.args[2] if len(node.args) > 2 else []
    sizes = node.meta["val"].shape
    assert isinstance(shifts, (list, tuple)) and isinstance(axes, (list, tuple))
    if not axes or not all(isinstance(sizes[axis], int) for axis in axes):
        return None
    for shift, axis in zip(shifts, axes, strict=True):
        cut = -shift % sizes[axis]
        if cut:
            parts = [
                call_before(graph, node, aten.slice.Tensor, x, axis, cut, sizes[axis]),
                call_before(graph, node, aten.slice.Tensor, x, axis, 0, cut),
            ]
            x = call_before(graph, node, aten.cat.default, parts, axis)
    return x if isinstance(x, fx.Node) else None


REWRITES: dict[str, Callable[[fx.GraphModule, fx.Node], fx.Node | None]] = {
    "adaptive_avg_pool1d": _adaptive_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "avg_pool1d": _pool,
    "avg_pool2d": _pool,
    "silu": _gated(aten.sigmoid.default),
    "hardswish": _gated(aten.hardsigmoid.default),
    "hardsigmoid": _hardsigmoid,
    "addcmul": _addcmul,
    "roll": _roll,
}
