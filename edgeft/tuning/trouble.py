"""Training that went wrong: noticed within a few steps, and the layer named where it began."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeft.quant.engine import QuantModel
from edgeft.quant.layers import Wiring

# Steps whose median loss is compared with that of the first ones, and how many times the loss of a model that answers
# at random it must exceed. A few bad batches are no divergence; a model twice as wrong as chance is not learning.
_WINDOW, _TIMES_CHANCE, _TIMES_START = 20, 2.0, 2.0


def not_finite_in(model: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """The first weight, or the first layer of a forward pass on `tensors`, with numbers that are not finite.

    Empty when everything is finite. Masks may be infinite: only layers that compute are looked at.
    """
    broken = next((name for name, p in model.named_parameters() if not _finite(p)), "")
    if broken:
        return f"the weights {_plain(broken)}"
    walk = _graph_layers if isinstance(model, QuantModel) else _module_layers
    with torch.no_grad():
        return next((name for name, output in walk(model, tensors) if not _finite(output)), "")


def _finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or not value.is_floating_point() or bool(torch.isfinite(value).all())


def _plain(name: str) -> str:
    """A parameter's name without what capture put in front of it."""
    return name.removeprefix("graph.").removeprefix("model.")


def _graph_layers(model: QuantModel, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """(layer, what it computes) in the order of a captured graph."""
    layers = {} if model.scheme is None else {each.name: each.module or each.name for each in Wiring(model).layers}
    seen: list[tuple[str, Tensor]] = []

    class Watched(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.name in layers:
                seen.append((layers[n.name], result))
            return result

    Watched(model.graph).run(*(tensors[name] for name in model.input_names))
    return iter(seen)


def _module_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """(module, what it computes) in the order in which the modules without children are called."""
    seen: list[tuple[str, Tensor]] = []
    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children()) and name]
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.append((name, output)))
        for name, module in leaves
    ]
    try:
        model(**tensors)
    finally:
        for hook in hooks:
            hook.remove()
    return iter(seen)


def gradient_not_finite(model: nn.Module) -> str:
    """The layer whose gradient is not finite, the one nearest the loss when there are many; empty when all are.

    Clipping by the norm of all gradients would spread it to every weight, and the place would be lost.
    """
    graded = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    if not graded:
        return ""
    norms = torch.stack(torch._foreach_norm([grad for _, grad in graded]))
    if bool(torch.isfinite(norms).all()):
        return ""
    broken = [name for (name, _), norm in zip(graded, norms, strict=True) if not norm.isfinite()]
    return _plain(broken[-1])


class Course:
    """The course of the loss: has it left for good what a learning model shows?"""

    def __init__(self, model: nn.Module) -> None:
        self._sizes = _sizes(model)
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=_WINDOW)

    def diverged(self, loss: float, labels: int) -> bool:
        """Take the loss of one step of a model with so many labels; True when the last ones are too large."""
        if len(self._first) < _WINDOW:
            self._first.append(loss)
            return False
        self._last.append(loss)
        limit = max(_TIMES_START * median(self._first), _TIMES_CHANCE * math.log(max(labels, 2)))
        return len(self._last) == _WINDOW and median(self._last) > limit

    def most_changed(self, model: nn.Module) -> tuple[str, float]:
        """(name, factor) of the weight or scale whose size grew or shrank most since the start."""
        factors = {name: size / self._sizes[name] for name, size in _sizes(model).items() if self._sizes.get(name)}
        name = max(factors, key=lambda each: abs(math.log(max(factors[each], 1e-30))))
        return _plain(name), factors[name]


def _sizes(model: nn.Module) -> dict[str, float]:
    """Root mean square of every learning matrix and of every scale; biases start at zero and say nothing."""
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    told = [(name, p.detach()) for name, p in learning if p.dim() > 1 or name.endswith("_fq.scale")]
    return {name: float(p.norm()) / math.sqrt(p.numel()) for name, p in told}
