"""How far a fake-quantized model is from itself when its sums are only added up in another order.

float32 sums depend on their order in the last bits. Where a sum lies next to a rounding tie, the code behind it is
the neighbouring one, and everything after it moves a little. That is as near as two correct computations of the
model can come: EfficientNet-Lite0 at 160 px has the cosine 0.99965 between torch's two convolution kernels, and the
same between torch and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeft.quant.engine import QuantModel

aten = torch.ops.aten


class Reordered(nn.Module):
    """`model` with the terms of every product summed in a seeded random order; the same real numbers.

    Sums over the taps of a depthwise convolution keep their order: they have few terms.
    """

    def __init__(self, model: QuantModel, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed

    def forward(self, **tensors: Tensor) -> Tensor:
        interpreter = _Interpreter(self.model.graph, torch.Generator().manual_seed(self.seed))
        logits: Tensor = interpreter.run(*[tensors[name] for name in self.model.input_names])
        return logits


class _Interpreter(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, generator: torch.Generator) -> None:
        super().__init__(graph)
        self._generator = generator

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        reorder = _REORDER.get(target)
        if reorder is not None:
            args = reorder(args, self._order)
        return super().call_function(target, args, kwargs)

    def _order(self, n: int) -> Tensor:
        return torch.randperm(n, generator=self._generator)


Args = tuple[Any, ...]
Order = Callable[[int], Tensor]


def _linear(args: Args, order: Order) -> Args:
    x, weight, *rest = args
    chosen = order(weight.shape[1])
    return (x.index_select(-1, chosen), weight.index_select(1, chosen), *rest)


def _convolution(args: Args, order: Order) -> Args:
    x, weight, *rest = args
    if weight.shape[1] != x.shape[1]:
        return args
    chosen = order(weight.shape[1])
    return (x.index_select(1, chosen), weight.index_select(1, chosen), *rest)


def _matmul(args: Args, order: Order) -> Args:
    one, other = args
    if one.dim() < 2 or other.dim() < 2:
        return args
    chosen = order(one.shape[-1])
    return one.index_select(-1, chosen), other.index_select(-2, chosen)


_REORDER: dict[Any, Callable[[Args, Order], Args]] = {
    aten.linear.default: _linear,
    aten.conv1d.default: _convolution,
    aten.conv1d.padding: _convolution,
    aten.conv2d.default: _convolution,
    aten.conv2d.padding: _convolution,
    aten.matmul.default: _matmul,
    aten.bmm.default: _matmul,
}
