"""How large a file must be, from the numbers in it and their dtypes."""

from __future__ import annotations

from torch import fx, nn

from edgeft.quant.engine import QuantModel
from edgeft.quant.nodes import attribute
from edgeft.quant.quantizer import Quantizer

# Beside each output channel of a quantized weight: scales of weight and bias, a zero point of each.
_BYTES_A_CHANNEL = 4 + 1 + 4 + 4


def float_bytes(model: nn.Module) -> int:
    """Parameters and buffers as they are, each stored once."""
    tensors = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def integer_bytes(model: QuantModel) -> int:
    """Every parameter once for each node that reads it: behind a quantizer at its grid's size, else at 4 bytes."""
    graph = model.graph
    total = 0
    for node in graph.graph.nodes:
        tensor = attribute(graph, node)
        if isinstance(tensor, nn.Parameter):
            total += sum(_stored(tensor, user, graph) for user in node.users)
    return total + sum(buffer.numel() * buffer.element_size() for buffer in graph.buffers())


def _stored(tensor: nn.Parameter, reader: fx.Node, graph: fx.GraphModule) -> int:
    module = graph.get_submodule(str(reader.target)) if reader.op == "call_module" else None
    if isinstance(module, Quantizer):
        return module.grid.bytes_per_value * tensor.numel() + _BYTES_A_CHANNEL * tensor.shape[0]
    return 4 * tensor.numel()
