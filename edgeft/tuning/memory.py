"""Memory that a training step does not have: noticed, and asked for in smaller parts."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from edgeft.tasks.task import IGNORED

# What torch says on a CPU, where the error is a plain RuntimeError.
_ON_CPU = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _ON_CPU)
    )


def release() -> None:
    """Give back what a failed step still holds."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def divided(inputs: Mapping[str, Tensor], parts: int) -> Iterator[dict[str, Tensor]]:
    """A batch of tensors [n, …] in at most `parts` smaller ones, of sizes that differ by one at most."""
    cut = {name: tensor.tensor_split(min(parts, len(tensor))) for name, tensor in inputs.items()}
    return (dict(zip(cut, tensors, strict=True)) for tensors in zip(*cut.values(), strict=True))


def answers_in(labels: Tensor) -> int:
    """How many answers a batch asks for: over so many its loss is a mean. See edgeft.tuning.losses.asked."""
    if labels.dim() == 1 or labels.is_floating_point():
        return len(labels)
    return int((labels != IGNORED).sum())
