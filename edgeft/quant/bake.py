"""What a graph computes from its weights alone is computed once, at capture.

A table of relative position biases read by a fixed index (Swin), projections of a fixed embedding (DeBERTa), the mask
of shifted windows, weight standardization, shape arithmetic: each becomes one stored tensor. A device would compute
it at every run, and an integer kernel wants a stored constant (quantization.md section 6).

Entries of a table that a fixed index reads several times are trained apart from then on.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeft.quant.nodes import add_buffer, add_parameter, attribute, cleaned
from edgeft.quant.operators import BINARY, RESCALE, name_of

# A constant larger than this (64 MB in float32) stays computed: an expanded tensor is small only until it is stored.
_LARGEST = 2**24


def bake_constants(graph: fx.GraphModule) -> None:
    """Replace every largest subgraph that reads no input by a parameter (a buffer, when it reads no parameter)."""
    fixed: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if _is_fixed(node, fixed):
            fixed.add(node)
    values: dict[fx.Node, Any] = {}
    for node in [n for n in graph.graph.nodes if n in fixed and any(user not in fixed for user in n.users)]:
        value = _evaluate(graph, node, values)
        if isinstance(value, Tensor) and value.numel() <= _LARGEST:
            _store(graph, node, value)
    cleaned(graph)
    _write_scalars(graph)


def _is_fixed(node: fx.Node, fixed: set[fx.Node]) -> bool:
    if node.op != "call_function":
        return False
    if isinstance(node.target, torch._ops.OpOverload):
        changes = node.target._schema.is_mutable or torch.Tag.nondeterministic_seeded in node.target.tags
        if changes or not node.target._schema.returns:
            return False
    value = node.meta.get("val")
    tensors = [value] if isinstance(value, Tensor) else list(value) if isinstance(value, (list, tuple)) else []
    static = tensors and all(isinstance(size, int) for tensor in tensors for size in tensor.shape)
    return bool(static) and all(source.op == "get_attr" or source in fixed for source in node.all_input_nodes)


@torch.no_grad()
def _evaluate(graph: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    for source in [*_before(node, values), node]:
        if source not in values:
            stored = attribute(graph, source)
            if stored is not None:
                values[source] = stored
            else:
                args, kwargs = fx.map_arg((source.args, source.kwargs), lambda n: values[n])
                values[source] = source.target(*args, **kwargs)  # type: ignore[operator]
    return values[node]


def _before(node: fx.Node, values: dict[fx.Node, Any]) -> list[fx.Node]:
    """Every node `node` is computed from and that has no value yet, sources first."""
    order: list[fx.Node] = []
    waiting = list(node.all_input_nodes)
    while waiting:
        source = waiting.pop()
        if source not in values:
            order.append(source)
            waiting.extend(source.all_input_nodes)
    return list(dict.fromkeys(reversed(order)))


def _store(graph: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    sources = [attribute(graph, source) for source in _before(node, {})]
    parameters = [source for source in sources if isinstance(source, nn.Parameter)]
    name = f"{node.name}_baked"
    if parameters and value.is_floating_point():
        trainable = any(parameter.requires_grad for parameter in parameters)
        new = add_parameter(graph, name, value, trainable, node)
    else:
        new = add_buffer(graph, name, value, node)
    node.replace_all_uses_with(new)


def _write_scalars(graph: fx.GraphModule) -> None:
    """A constant of rank 0 in a sum or product is written as the number it is."""
    for node in graph.graph.nodes:
        if name_of(node) not in BINARY | RESCALE or len(node.all_input_nodes) < 2:
            continue
        for source in node.all_input_nodes:
            value = attribute(graph, source)
            if value is not None and value.dim() == 0 and not isinstance(value, nn.Parameter):
                node.replace_input_with(source, value.item())
    cleaned(graph)
