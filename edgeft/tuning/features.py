"""What the classification head reads, in the float teacher and in the quantized student: a finer thing to imitate than
the answers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from edgeft.errors import ModelError
from edgeft.quant.engine import QuantModel
from edgeft.quant.layers import module_of
from edgeft.quant.operators import name_of


class Features:
    """The input of the last linear layer of both models, as their latest forward passes left it.

    share   weight of their distance in the loss
    Raises ModelError when the last layer is no linear one, or does not read quantized numbers.
    """

    def __init__(self, teacher: nn.Module, student: QuantModel, share: float) -> None:
        self.share = share
        self._wanted: Tensor | None = None
        self._given: Tensor | None = None
        head = _head_of(student)
        operand: Any = head.args[0] if head is not None else None
        layer = dict(teacher.named_modules()).get(module_of(head)) if head is not None else None
        if not isinstance(operand, fx.Node) or operand.op != "call_module" or not isinstance(layer, nn.Linear):
            raise ModelError("--feature-loss needs a model whose last layer is a quantized linear one", "leave it out")
        layer.register_forward_pre_hook(self._keep_wanted)
        student.register_forward_pre_hook(self._forget)
        student.graph.get_submodule(str(operand.target)).register_forward_hook(self._keep_given)

    def _keep_wanted(self, _: nn.Module, inputs: Any) -> None:
        self._wanted = inputs[0].detach()

    def _keep_given(self, _: nn.Module, __: Any, output: Tensor) -> None:
        self._given = output if torch.is_grad_enabled() else None

    def _forget(self, *_: Any) -> None:
        """What a step that found no memory left would hold its whole forward pass."""
        self._given = None

    def distance(self) -> Tensor:
        """Mean squared difference over the mean square of the teacher's features: 1 is as far as zeros are."""
        assert self._wanted is not None and self._given is not None
        found = F.mse_loss(self._given, self._wanted) / self._wanted.square().mean().clamp(min=1e-12)
        self._given = None  # it holds the whole graph of the forward pass
        return found


def _head_of(student: QuantModel) -> fx.Node | None:
    linear = [node for node in student.graph.graph.nodes if name_of(node) == "linear"]
    return linear[-1] if linear else None
