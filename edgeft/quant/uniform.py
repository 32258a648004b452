"""Masks that mask nothing are taken out of the graph.

A transformers model called without an attention mask makes one, all ones, in the shape of its input, and adds what
becomes of it to the scores of every layer: zeros, computed anew at every run. What a tensor holds is followed here as
a pair of bounds, for the few operators masks are made of; a sum with nothing but zeros, or a product with nothing but
ones, goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edgeft.quant.nodes import attribute, cleaned
from edgeft.quant.operators import CAST, VIEW, name_of

Bounds = tuple[float, float]
_NEUTRAL = {"add.Tensor": (0.0, 0.0), "mul.Tensor": (1.0, 1.0)}


def drop_idle_masks(graph: fx.GraphModule) -> None:
    """Take out sums with tensors of zeros and products with tensors of ones, whatever their sizes will be."""
    bounds: dict[fx.Node, Bounds] = {}
    for node in graph.graph.nodes:
        found = _bounds(graph, node, bounds)
        if found is not None:
            bounds[node] = found
    for node in list(graph.graph.nodes):
        kept = _unchanged(node, bounds)
        if kept is not None:
            node.replace_all_uses_with(kept)
            graph.graph.erase_node(node)
    cleaned(graph)


def _unchanged(node: fx.Node, bounds: dict[fx.Node, Bounds]) -> fx.Node | None:
    """The operand whose shape and numbers `node` gives back."""
    neutral = _NEUTRAL.get(name_of(node))
    if neutral is None or len(node.args) != 2 or node.kwargs:
        return None
    for kept, other in (node.args, node.args[::-1]):
        if isinstance(kept, fx.Node) and isinstance(other, fx.Node) and bounds.get(other) == neutral:
            before, after = kept.meta["val"], node.meta["val"]
            if isinstance(before, Tensor) and before.dtype == after.dtype and _same_shape(before, after):
                return kept
    return None


def _same_shape(one: Tensor, other: Tensor) -> bool:
    return one.dim() == other.dim() and all(
        statically_known_true(a == b) for a, b in zip(one.shape, other.shape, strict=True)
    )


def _bounds(graph: fx.GraphModule, node: fx.Node, known: dict[fx.Node, Bounds]) -> Bounds | None:
    """Smallest and largest number `node` may hold; None when nothing is known."""
    stored = attribute(graph, node)
    if stored is not None:
        parameter = isinstance(stored, nn.Parameter) or stored.numel() == 0
        return None if parameter else (float(stored.min()), float(stored.max()))
    name = name_of(node)
    if name in VIEW | CAST or name in ("expand", "lift_fresh_copy"):
        return known.get(node.args[0])  # type: ignore[arg-type]
    rule = _RULES.get(name)
    return None if rule is None else rule([_bounds_of(argument, known) for argument in node.args], node)


def _bounds_of(argument: Any, known: dict[fx.Node, Bounds]) -> Bounds | None:
    if isinstance(argument, (int, float)):
        return float(argument), float(argument)
    return known.get(argument) if isinstance(argument, fx.Node) else None


def _constant(value: float) -> Callable[[list[Bounds | None], fx.Node], Bounds | None]:
    return lambda arguments, node: (value, value)


def _filled(place: int) -> Callable[[list[Bounds | None], fx.Node], Bounds | None]:
    return lambda arguments, node: arguments[place]


def _counted(arguments: list[Bounds | None], node: fx.Node) -> Bounds | None:
    """arange counts up from its start, how far is not known."""
    if len(arguments) == 1:
        return 0.0, math.inf
    start = arguments[0]
    return (start[0], math.inf) if start is not None and len(arguments) == 2 else None


def _compared(arguments: list[Bounds | None], node: fx.Node) -> Bounds | None:
    """x >= c where that is so, or is not so, for all x."""
    x, c = arguments
    if x is None or c is None:
        return None
    return (1.0, 1.0) if x[0] >= c[1] else (0.0, 0.0) if x[1] < c[0] else (0.0, 1.0)


def _both(arguments: list[Bounds | None], node: fx.Node) -> Bounds | None:
    x, y = arguments
    return (min(x[0], y[0]), min(x[1], y[1])) if x is not None and y is not None else None


def _chosen(arguments: list[Bounds | None], node: fx.Node) -> Bounds | None:
    condition, then, otherwise = arguments
    return then if condition == (1.0, 1.0) else otherwise if condition == (0.0, 0.0) else None


_RULES: dict[str, Callable[[list[Bounds | None], fx.Node], Bounds | None]] = {
    "ones": _constant(1.0),
    "new_ones": _constant(1.0),
    "ones_like": _constant(1.0),
    "zeros": _constant(0.0),
    "new_zeros": _constant(0.0),
    "zeros_like": _constant(0.0),
    "full": _filled(1),
    "full_like": _filled(1),
    "new_full": _filled(2),
    "arange": _counted,
    "arange.start": _counted,
    "ge.Scalar": _compared,
    "logical_and": _both,
    "bitwise_and.Tensor": _both,
    "__and__.Tensor": _both,
    "where.self": _chosen,
    "where.ScalarOther": _chosen,
    "where.ScalarSelf": _chosen,
    "where.Scalar": _chosen,
}
