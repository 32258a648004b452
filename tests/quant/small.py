"""One-line modules captured as graphs, for tests of what is done to a graph."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx, nn

from edgeft.quant.capture import capture, prepare
from edgeft.quant.operators import name_of
from edgeft.tasks.task import TensorSpec


class Of(nn.Module):
    """x -> function(self, x), with the modules, parameters and buffers given."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, (nn.Module, nn.Parameter)):
                setattr(self, name, part)
            else:
                self.register_buffer(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def inputs_of(x: Tensor) -> tuple[TensorSpec, ...]:
    """The first dimension is free."""
    return (TensorSpec("x", str(x.dtype).removeprefix("torch."), ("batch", *x.shape[1:])),)


def captured(model: nn.Module, x: Tensor) -> fx.GraphModule:
    return capture(prepare(model), inputs_of(x), {"x": x})


def calls(graph: fx.GraphModule) -> list[str]:
    """The operators called, in order."""
    return [name_of(node) for node in graph.graph.nodes if name_of(node)]
