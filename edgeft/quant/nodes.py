"""Small questions and edits on a captured graph that folding, rewriting and insertion share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn


def attribute(graph: fx.GraphModule, node: Any) -> Tensor | None:
    """The parameter or buffer a get_attr node reads; None for anything else."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: Any = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value if isinstance(value, Tensor) else None


def add_parameter(graph: fx.GraphModule, name: str, value: Tensor, trainable: bool, before: fx.Node) -> fx.Node:
    """Register a new parameter and a node that reads it, in front of `before`."""
    graph.register_parameter(name, nn.Parameter(value.detach().clone(), requires_grad=trainable))
    with graph.graph.inserting_before(before):
        node = graph.graph.get_attr(name)
    node.meta["val"] = value
    return node


def add_buffer(graph: fx.GraphModule, name: str, value: Tensor, before: fx.Node) -> fx.Node:
    """The same for a constant, which is not saved: capture makes it again."""
    graph.register_buffer(name, value.detach().clone(), persistent=False)
    with graph.graph.inserting_before(before):
        node = graph.graph.get_attr(name)
    node.meta["val"] = value
    return node


def call_before(graph: fx.GraphModule, place: fx.Node, operator: Any, *args: Any) -> fx.Node:
    """A call of an ATen operator in front of `place`, with the shape and type of its result."""
    with graph.graph.inserting_before(place):
        node = graph.graph.call_function(operator, args)
    seen = fx.map_arg(args, lambda source: source.meta["val"])
    modes = [tensor.fake_mode for tensor in _tensors(seen) if hasattr(tensor, "fake_mode")]
    with modes[0], torch.no_grad():
        node.meta["val"] = operator(*seen)
    return node


def _tensors(values: Any) -> list[Any]:
    found: list[Any] = []
    torch.utils._pytree.tree_map_only(Tensor, found.append, values)
    return found


def is_float(node: fx.Node) -> bool:
    """Does this node make a float tensor, or a list of them?"""
    value = node.meta.get("val")
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], Tensor) and value[0].is_floating_point()
    return isinstance(value, Tensor) and value.is_floating_point()


def rank(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0


def drop_unused_tensors(graph: fx.GraphModule) -> None:
    """Delete parameters and buffers that no node reads any more."""
    read = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    names = [name for name, _ in graph.named_parameters(remove_duplicate=False)]
    names += [name for name, _ in graph.named_buffers(remove_duplicate=False)]
    for name in names:
        owner_name, _, last = name.rpartition(".")
        owner = graph.get_submodule(owner_name)
        if name not in read and not any(target.startswith(f"{name}.") for target in read):
            delattr(owner, last)


def cleaned(graph: fx.GraphModule) -> fx.GraphModule:
    """Dead nodes, modules and tensors go."""
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    drop_unused_tensors(graph)
    graph.recompile()
    return graph
