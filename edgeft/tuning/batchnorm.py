"""BatchNorm that learns its statistics in several processes takes them over the examples of all.

A pretrained BatchNorm keeps its statistics (edgeft.tuning.freeze.brings_statistics), so this is for layers that are
born with the run. torch's own SyncBatchNorm works on GPUs only, and takes the place of modules that are more than a
BatchNorm, as timm's, which also hold the activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgeft import ranks
from edgeft.tuning.freeze import brings_statistics


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """While inside, what a BatchNorm of `model` learns from a batch it learns from the shares of all processes."""
    if not takes_turns(model):
        yield
        return
    with _Everywhere():
        yield


def takes_turns(model: nn.Module) -> bool:
    """Does a forward pass in one process wait for those of the others?"""
    return ranks.world() > 1 and any(_learns(module) for module in model.modules())


def _learns(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and not brings_statistics(module)


class _Everywhere(TorchFunctionMode):
    """Takes the place of F.batch_norm, which all kinds of BatchNorm call, where it normalises by the batch."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        takes_batch = func is F.batch_norm and given.get("training")
        call: Callable[..., Any] = normalised if takes_batch else func
        return call(*args, **given)


def normalised(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """F.batch_norm in training, over the batches [n, C, …] of all processes (arXiv 1502.03167, algorithm 1)."""
    axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    count = _Sum.apply(torch.tensor([x.numel() / x.shape[1]], device=x.device))
    mean = _Sum.apply(x.float().sum(axes)) / count
    centred = x.float() - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            unbiased = variance * count / (count - 1)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    y = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    return (y if bias is None else y + bias.view(shape)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of what each of them finds, since all losses are added."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
