"""What only scales and shifts the channels of a product goes into its weight and bias, on the graph.

    y = (W x + b) * f + s per output channel        W' = W * f        b' = b * f + s

BatchNorm (quantization.md 2.3) with f = gamma / sqrt(running_var + eps) and s = beta - running_mean * f; layer scale
of ConvNeXt and ViT; the no-norm of MobileBERT; 1 / sqrt(d) of queries; the line of a hard sigmoid.

Nothing is divided by gamma, so a gamma of zero is harmless, and no weight is scaled in place, so a weight that two
products share is not scaled twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeft.quant.nodes import add_parameter, attribute, cleaned, rank
from edgeft.quant.operators import CONVOLUTION, RESCALE, WEIGHTED, name_of

_SUM = frozenset({"add.Tensor", "add.Scalar"})
_TURN = frozenset({"permute", "transpose.int"})


@dataclass(frozen=True)
class Product:
    """A weighted operator with one reader, and the axis its output channels have where that reader stands."""

    node: fx.Node
    axis: int


def fold_batch_norm(graph: fx.GraphModule) -> list[str]:
    """Fold every BatchNorm that follows a product with no other user; returns the names of those left standing."""
    for node in list(graph.graph.nodes):
        if name_of(node) == "batch_norm" and not node.args[5]:
            product = product_behind(graph, node.args[0])
            if product is not None and product.axis == 1 and (rank(node) == 2 or _is_convolution(product.node)):
                _fold_batch_norm(graph, node, product.node)
    cleaned(graph)
    return [node.name for node in graph.graph.nodes if name_of(node) == "batch_norm"]


def fold_affine(graph: fx.GraphModule) -> None:
    """Fold every product and sum with a constant per channel that follows a product with no other user."""
    for node in list(graph.graph.nodes):
        if name_of(node) not in RESCALE | _SUM or len(node.args) < 2 or node.kwargs:
            continue
        for data, constant in _splits(node):
            product = product_behind(graph, data)
            vector = _per_channel(graph, constant, product, rank(node)) if product is not None else None
            if product is None or vector is None:
                continue
            trains = _trains(graph, constant)
            if name_of(node) in _SUM:
                absorb(graph, product.node, None, vector, trains)
            else:
                absorb(graph, product.node, 1 / vector if name_of(node).startswith("div") else vector, None, trains)
            node.replace_all_uses_with(data)
            graph.graph.erase_node(node)
            break
    cleaned(graph)


def product_behind(graph: fx.GraphModule, data: Any) -> Product | None:
    """The product whose result `data` is, perhaps with its axes turned; None when someone else reads it too."""
    turns = []
    while isinstance(data, fx.Node) and name_of(data) in _TURN and len(data.users) == 1:
        turns.append(data)
        data = data.args[0]
    if not isinstance(data, fx.Node) or name_of(data) not in WEIGHTED or len(data.users) != 1:
        return None
    if attribute(graph, data.args[1]) is None:
        return None
    if len(data.args) > 2 and data.args[2] is not None and attribute(graph, data.args[2]) is None:
        return None
    axis = _channel_axis(data)
    for turn in reversed(turns):
        axis = _order(turn).index(axis)
    return Product(data, axis)


def absorb(
    graph: fx.GraphModule, product: fx.Node, factor: Tensor | None, shift: Tensor | None, trains: bool = False
) -> None:
    """Give a product the weight W * factor and the bias b * factor + shift; both are [channels], or rank 0.

    trains   the factor or shift was trained, so that what it goes into is
    """
    weight = attribute(graph, product.args[1])
    bias = attribute(graph, product.args[2]) if len(product.args) > 2 else None
    assert weight is not None
    channels = weight.new_zeros(weight.shape[0])
    trains = trains or weight.requires_grad or (bias is not None and bias.requires_grad)
    with torch.no_grad():
        new_bias = channels if bias is None else bias.clone()
        if factor is not None:
            factor = channels + factor
            new_bias = new_bias * factor
            new_weight = weight * factor.reshape([-1] + [1] * (weight.dim() - 1))
            w = add_parameter(graph, f"{product.name}_folded_weight", new_weight, trains, product)
            product.args = (product.args[0], w, *product.args[2:])
        if shift is not None:
            new_bias = new_bias + shift
        if bias is not None or shift is not None:
            b = add_parameter(graph, f"{product.name}_folded_bias", new_bias, trains, product)
            product.args = (*product.args[:2], b, *product.args[3:])


def _fold_batch_norm(graph: fx.GraphModule, bn: fx.Node, product: fx.Node) -> None:
    gamma, beta, mean, var = (attribute(graph, bn.args[i]) for i in range(1, 5))
    assert mean is not None and var is not None
    with torch.no_grad():
        factor = (var + float(bn.args[7])).rsqrt() * (1.0 if gamma is None else gamma)  # type: ignore[arg-type]
        shift = -mean * factor + (0.0 if beta is None else beta)
    absorb(graph, product, factor, shift, any(t is not None and t.requires_grad for t in (gamma, beta)))
    bn.replace_all_uses_with(product)
    graph.graph.erase_node(bn)


def _is_convolution(node: fx.Node) -> bool:
    return name_of(node) in CONVOLUTION


def _channel_axis(product: fx.Node) -> int:
    return 1 if _is_convolution(product) else rank(product) - 1


def _order(turn: fx.Node) -> list[int]:
    """Which axis of the input each axis of the output is."""
    axes = list(range(rank(turn)))
    if name_of(turn) == "permute":
        return [axes[axis] for axis in turn.args[1]]  # type: ignore[union-attr, index, misc]
    one, other = turn.args[1], turn.args[2]
    axes[one], axes[other] = axes[other], axes[one]  # type: ignore[index]
    return axes


def _splits(node: fx.Node) -> list[tuple[Any, Any]]:
    """(data, constant) in both orders where the operator allows it."""
    one, other = node.args[:2]
    return [(one, other)] if name_of(node).startswith("div") else [(one, other), (other, one)]


def _per_channel(graph: fx.GraphModule, constant: Any, product: Product, width: int) -> Tensor | None:
    """A number or a stored constant as a rank-0 or [channels] tensor; None when it varies along another axis."""
    if isinstance(constant, (int, float)):
        return torch.tensor(float(constant), device=_device(graph))
    stored = attribute(graph, constant)
    if stored is None or not stored.is_floating_point():
        return None
    shape = [1] * (width - stored.dim()) + list(stored.shape)
    if len(shape) > width or any(size != 1 for axis, size in enumerate(shape) if axis != product.axis):
        return None
    return stored.reshape(-1) if stored.numel() > 1 else stored.reshape(())


def _trains(graph: fx.GraphModule, constant: Any) -> bool:
    stored = attribute(graph, constant)
    return stored is not None and stored.requires_grad


def _device(graph: fx.GraphModule) -> torch.device:
    return next((parameter.device for parameter in graph.parameters()), torch.device("cpu"))
