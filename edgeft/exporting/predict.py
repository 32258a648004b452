"""How large a file must be, from the numbers in it and their dtypes."""

from __future__ import annotations

from collections.abc import Container

import onnx_ir as ir
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


def half_bytes(model: nn.Module) -> int:
    """The same with floats of two bytes."""
    tensors = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return sum(t.numel() * (2 if t.is_floating_point() else t.element_size()) for t in tensors.values())


def kept_bytes(graph: ir.Model, kept: Container[str]) -> int:
    """What constants of the operators that stay float32 take beside two bytes a number."""
    read = {value for node in graph.graph if str(node.name) in kept for value in node.inputs}
    constants = [value.const_value for value in read if value is not None and value.const_value is not None]
    return sum(constant.nbytes for constant in constants if constant.dtype is ir.DataType.FLOAT)


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
        scales = 4 * module.scale.numel() if module.grid.block else _BYTES_A_CHANNEL * tensor.shape[0]
        return module.grid.bits * tensor.numel() // 8 + scales
    return 4 * tensor.numel()
