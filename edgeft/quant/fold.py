"""BatchNorm into the convolution before it, on the graph (quantization.md 2.3).

    inv = gamma / sqrt(running_var + eps)      W' = W * inv per output channel      b' = beta + (b - mean) * inv

Nothing is divided by gamma, so a gamma of zero is harmless, and no weight is scaled in place, so a weight that two
convolutions share is not scaled twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeft.quant.operators import CONVOLUTION, name_of


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


def _foldable(graph: fx.GraphModule, node: fx.Node) -> bool:
    if name_of(node) != "batch_norm" or node.args[5]:
        return False
    conv = node.args[0]
    if not isinstance(conv, fx.Node) or name_of(conv) not in CONVOLUTION or len(conv.users) != 1:
        return False
    return attribute(graph, conv.args[1]) is not None


def _fold(graph: fx.GraphModule, bn: fx.Node) -> None:
    conv, gamma, beta, mean, var = (bn.args[i] for i in range(5))
    assert isinstance(conv, fx.Node)
    eps = float(bn.args[7])  # type: ignore[arg-type]
    weight = attribute(graph, conv.args[1])
    running_mean, running_var = attribute(graph, mean), attribute(graph, var)
    assert weight is not None and running_mean is not None and running_var is not None
    g, shift = attribute(graph, gamma), attribute(graph, beta)
    bias = attribute(graph, conv.args[2]) if len(conv.args) > 2 else None
    with torch.no_grad():
        inv = (running_var + eps).rsqrt() * (1.0 if g is None else g)
        old_bias = torch.zeros_like(running_mean) if bias is None else bias
        new_bias = (old_bias - running_mean) * inv + (0.0 if shift is None else shift)
        new_weight = weight * inv.reshape([-1] + [1] * (weight.dim() - 1))
    trainable = [t.requires_grad for t in (weight, g, shift, bias) if t is not None]
    w = add_parameter(graph, f"{conv.name}_folded_weight", new_weight, any(trainable), conv)
    b = add_parameter(graph, f"{conv.name}_folded_bias", new_bias, any(trainable), conv)
    conv.args = (conv.args[0], w, b, *conv.args[3:])
    bn.replace_all_uses_with(conv)
    graph.graph.erase_node(bn)


def fold_batch_norm(graph: fx.GraphModule) -> list[str]:
    """Fold every BatchNorm that follows a convolution with no other user; returns the names of those left standing."""
    for node in list(graph.graph.nodes):
        if _foldable(graph, node):
            _fold(graph, node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    drop_unused_tensors(graph)
    graph.recompile()
    return [node.name for node in graph.graph.nodes if name_of(node) == "batch_norm"]


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
