"""Which nodes of a captured graph carry data, and which only keep its books (quantization.md 2.4).

A mask of -3.4e38 in the range of a quantizer would leave one code for everything else: masks, positions and whatever
is computed from them alone stay in float, and so do attention scores from their mask on to the softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from edgeft.quant.nodes import attribute, is_float
from edgeft.quant.operators import BINARY, CAST, MASKING, SHAPE_ONLY, VIEW, name_of


def live_nodes(graph: fx.GraphModule, nodes: Sequence[fx.Node]) -> set[fx.Node]:
    """Parameters, float inputs and whatever depends on one of them; but a mask to which only parameters were added
    (a relative position bias) is a mask still."""
    live: set[fx.Node] = set()
    data: set[fx.Node] = set()
    for node in nodes:
        name, sources = name_of(node), node.all_input_nodes
        if name in SHAPE_ONLY or (name and not _is_tensor(node)):
            continue
        looked_up = name == "embedding" and node.args[0] in live
        if (node.op == "placeholder" and is_float(node)) or looked_up or any(source in data for source in sources):
            data.add(node)
        parameter = isinstance(attribute(graph, node), torch.nn.Parameter)
        depends = any(source in live for source in sources) and not _is_biased_mask(node, live)
        if parameter or depends or node in data:
            live.add(node)
    return live


def _is_tensor(node: fx.Node) -> bool:
    """False for sizes, which say nothing of what a tensor holds."""
    value = node.meta.get("val")
    return isinstance(value, (torch.Tensor, list, tuple))


def _is_biased_mask(node: fx.Node, live: set[fx.Node]) -> bool:
    return name_of(node) in BINARY | MASKING and any(is_bookkeeping(source, live) for source in node.all_input_nodes)


def is_bookkeeping(node: fx.Node, live: set[fx.Node]) -> bool:
    """A float tensor computed at run time from no data; stored constants are not meant."""
    return node not in live and node.op != "get_attr" and is_float(node)


def masked_nodes(nodes: Sequence[fx.Node], live: set[fx.Node]) -> set[fx.Node]:
    """Sums and products between a mask and the softmax it is for."""
    found: set[fx.Node] = set()
    for node in nodes:
        if name_of(node) == "softmax.int" and isinstance(node.args[0], fx.Node):
            _follow(node.args[0], live, found)
    return found


def _follow(node: fx.Node, live: set[fx.Node], found: set[fx.Node]) -> bool:
    """Walk back from a softmax through sums and moves; true when a mask has come in on the way here."""
    name = name_of(node)
    if name in MASKING:
        found.add(node)
        return True
    if name in CAST | VIEW:
        return isinstance(node.args[0], fx.Node) and _follow(node.args[0], live, found)
    if name not in BINARY:
        return False
    masked = any(source not in live for source in node.all_input_nodes)
    behind = [_follow(source, live, found) for source in node.all_input_nodes if source in live]
    if masked or any(behind):
        found.add(node)
        return True
    return False
