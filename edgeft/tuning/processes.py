"""Several processes that tune one model together, on one machine or more: what they tell each other.

All of them walk through the same acts. What only one may do (read the data, write the run, calibrate) the first does,
and the others wait for what came of it; what takes long (training, scoring, a frozen backbone's features) is shared.
With one process every function here does nothing but its own part.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeft import ranks
from edgeft.errors import MachineError

Result = TypeVar("Result")
# The others wait while the first reads all images or calibrates; one that has died is noticed by its connection at
# once, so that a long patience costs nothing.
_PATIENCE = datetime.timedelta(hours=24)
# Gradients are sent in pieces of this size: large enough that the way there and back does not count.
_PIECE_BYTES = 32 << 20
_FAILED = "edgeft/failed"
# Of messages between processors: the group that gradients go through may know only the memory of GPUs.
_messages: Any = None


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that torchrun or `accelerate launch` started can talk to each other.

    Raises MachineError when the others cannot be reached.
    """
    global _messages
    if ranks.world() == 1 or _messages is not None:
        yield
        return
    with _peers():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        _messages = dist.new_group(backend="gloo", timeout=_PATIENCE)
    store = dist.distributed_c10d._get_default_store()
    ranks.ask_who_failed_first(lambda: _claim(store))
    yield  # after an error the processes just end: whoever says goodbye properly would wait for those that cannot
    with suppress(RuntimeError):
        wait()
        dist.destroy_process_group()
    _messages = None
    ranks.ask_who_failed_first(ranks.first)


def _claim(store: Any) -> bool:
    try:
        return int(store.add(_FAILED, 1)) == 1
    except RuntimeError:  # the process that keeps the store is gone, and has told why
        return ranks.first()


@contextmanager
def _peers() -> Iterator[None]:
    """A connection that broke becomes one MachineError."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0][:200]
        raise MachineError(
            f"the other processes of this run cannot be reached any more ({first})",
            "one of them has ended: look at its output, and go on with the same command and --resume",
        ) from error


def once(act: Callable[[], Result]) -> Result:
    """What `act` returns, which the first process does while the others wait. It has to be something pickle knows."""
    if ranks.world() == 1:
        return act()
    box: list[Any] = [act() if ranks.first() else None]
    with _peers():
        dist.broadcast_object_list(box, src=0, group=_messages)
    result: Result = box[0]
    return result


def lines(batch_size: int) -> list[str]:
    """How a training step of `batch_size` examples is shared, for a person; nothing with one process."""
    world = ranks.world()
    if world == 1:
        return []
    least = batch_size // world
    each = f"{least}" if batch_size % world == 0 else f"{least} or {least + 1}"
    return [f"{world} processes share every training step: {each} examples each of its {batch_size}"]


def wait() -> None:
    """Go on when all processes have come here."""
    if ranks.world() > 1:
        with _peers():
            dist.barrier(group=_messages)


def gathered(part: Result) -> list[Result]:
    """The `part` of every process, in their order."""
    if ranks.world() == 1:
        return [part]
    parts: list[Any] = [None] * ranks.world()
    with _peers():
        dist.all_gather_object(parts, part, group=_messages)
    return parts


def summed(array: NDArray[Any]) -> NDArray[Any]:
    """The sum of the arrays of all processes, all of one shape and type."""
    if ranks.world() == 1:
        return array
    total = torch.from_numpy(np.ascontiguousarray(array))
    with _peers():
        dist.all_reduce(total, group=_messages)
    return total.numpy()


def largest(value: int) -> int:
    return max(gathered(value))


def same_as_first(model: nn.Module) -> None:
    """Give `model` the parameters and buffers that it has in the first process."""
    if ranks.world() == 1:
        return
    state = once(lambda: {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
    if not ranks.first():
        model.load_state_dict(state)


def average_gradients(parameters: Sequence[nn.Parameter], answers: int) -> None:
    """Make the gradients of a sum over the `answers` of this process those of the mean over the answers of all.

    Where a parameter has no gradient anywhere it stays without.
    """
    given = [(each, each.grad) for each in parameters if each.requires_grad]
    gradients = [torch.zeros_like(each) if gradient is None else gradient for each, gradient in given]
    pieces = list(_pieces(gradients))
    flat = [torch.cat([gradient.flatten() for gradient in piece]) for piece in pieces]
    counted = torch.tensor([float(answers)], device=flat[0].device)
    with _peers():
        for work in [dist.all_reduce(each, async_op=True) for each in [counted, *flat]]:
            work.wait()
    totals = [part for piece, total in zip(pieces, flat, strict=True)
              for part in (total / counted).split([gradient.numel() for gradient in piece])]  # fmt: skip
    for (parameter, gradient), total in zip(given, totals, strict=True):
        if gradient is not None:
            gradient.copy_(total.view(gradient.shape))
        elif bool(total.any()):
            parameter.grad = total.view(parameter.shape).clone()


def _pieces(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type, about _PIECE_BYTES of them at a time."""
    piece: list[Tensor] = []
    held = 0
    for gradient in gradients:
        if piece and (held >= _PIECE_BYTES or gradient.dtype != piece[0].dtype):
            yield piece
            piece, held = [], 0
        piece.append(gradient)
        held += gradient.numel() * gradient.element_size()
    if piece:
        yield piece
