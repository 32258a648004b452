"""Is what is added to scores the padding mask, and nothing else? Found out by trying, not by the form of the graph.

transformers computes the mask of every layer by some twenty operators, which differ from release to release: positions
compared, indices gathered, conditions joined. The part of the graph that makes it is run on masks of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from edgeft.quant.nodes import is_float

# Below this nothing is left of a score after the softmax in float32: exp(-88) is its smallest number.
_GONE = -1e3
# Two batches, so that no length is taken for granted.
_TRIED = ((3, 5), (2, 9))


def padding_mask(graph: fx.GraphModule, bias: fx.Node) -> fx.Node | None:
    """The integer input [n, length] that `bias` [n or 1, 1, length or 1, length] hides the zeros of; None for any other
    bias: one that hides other keys, or adds to the scores of those it does not hide."""
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    behind = _behind(bias)
    masks = [node for node in inputs if node in behind and _is_table(node)]
    if any(node in behind and is_float(node) for node in inputs):
        return None
    return next((mask for mask in masks if all(_hides(graph, bias, inputs, mask, sizes) for sizes in _TRIED)), None)


def _behind(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    left = [node]
    while left:
        for source in left.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                left.append(source)
    return found


def _alone(graph: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """The part of `graph` that makes `node`, with the inputs of all of it."""
    needed, part = {node, *_behind(node)}, fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for each in graph.graph.nodes:
        if each in needed or each.op == "placeholder":
            copies[each] = part.node_copy(each, copies.__getitem__)
    part.output(copies[node])
    return fx.GraphModule(graph, part)


def _is_table(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.dim() == 2 and not value.is_floating_point()


def _hides(graph: fx.GraphModule, bias: fx.Node, inputs: list[fx.Node], mask: fx.Node, sizes: tuple[int, int]) -> bool:
    """Is the bias, for random zeros and ones in `mask`, 0 where it holds 1 and out of the softmax where it holds 0?"""
    if not all(_is_table(node) for node in inputs):
        return False
    generator = torch.Generator().manual_seed(sizes[1])
    given = torch.randint(0, 2, sizes, generator=generator)
    given[:, 0] = 1  # one key at least is seen
    tables = [given if node is mask else torch.randint(1, 9, sizes, generator=generator) for node in inputs]
    tables = [table.to(node.meta["val"].device) for table, node in zip(tables, inputs, strict=True)]
    try:
        with torch.no_grad():
            found = _alone(graph, bias)(*tables)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return False
    if found.dim() != 4 or found.shape[1] != 1:
        return False
    seen = found.cpu().expand(sizes[0], 1, sizes[1], sizes[1])
    keys = given.bool()[:, None, None].expand_as(seen)
    return bool((seen[keys] == 0).all() and (seen[~keys] < _GONE).all())
