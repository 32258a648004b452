"""How large a file must be, from the numbers in it and their dtypes."""

from __future__ import annotations

from collections import Counter

from torch import nn

from edgeft.quant.engine import QuantModel

# Beside each output channel of a quantized weight: scales of weight and bias, a zero point of each.
_BYTES_A_CHANNEL = 4 + 1 + 4 + 4


def float_bytes(model: nn.Module) -> int:
    """Parameters and buffers as they are, each stored once."""
    tensors = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def integer_bytes(model: QuantModel) -> int:
    """Weights and tables at the weight grid's size, once for each reader; biases and the rest at 4 bytes."""
    assert model.scheme is not None
    scales = {f"{name}.scale" for name, _ in model.quantizers()}
    readers = _readers(model)
    total = 0
    for name, parameter in model.graph.named_parameters():
        if name in scales:
            continue
        if parameter.dim() < 2:
            total += 4 * parameter.numel() * readers[name]
        else:
            one = model.scheme.weight.bytes_per_value * parameter.numel() + _BYTES_A_CHANNEL * parameter.shape[0]
            total += one * readers[name]
    return total + sum(buffer.numel() * buffer.element_size() for buffer in model.graph.buffers())


def _readers(model: QuantModel) -> Counter[str]:
    """How many nodes of the graph read each parameter; at least 1."""
    counts: Counter[str] = Counter()
    for node in model.graph.graph.nodes:
        if node.op == "get_attr":
            counts[str(node.target)] += len(node.users)
    return Counter({name: max(1, count) for name, count in counts.items()})
