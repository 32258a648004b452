"""`--batch-size auto`: the largest training step that memory holds, found by trying, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeft import console, ranks
from edgeft.data.dataset import Example
from edgeft.quant.feed import logits_of, text_lengths
from edgeft.tuning import processes
from edgeft.tuning.batches import Collate
from edgeft.tuning.memory import is_out_of_memory, release
from edgeft.tuning.trainer import Loss

# What learning rates are chosen for (edgeft.tuning.defaults), and the most that is tried.
USUAL, _MOST = 32, 512
# An epoch of fewer steps learns less, however fast each is.
_STEPS_AN_EPOCH = 16
# AdamW keeps two numbers beside each parameter that learns, and backward leaves a third.
_STATE = 2


@dataclass(frozen=True)
class Step:
    """Examples of one training step, in all processes together, and in how many parts a process computes its share.

    found   by "auto", not asked for
    """

    examples: int
    parts: int = 1
    found: bool = False

    @staticmethod
    def given(asked: int | str) -> Step:
        """The step of --batch-size; of "auto" the one it starts from."""
        return Step(asked) if isinstance(asked, int) else Step(USUAL)

    @property
    def rate(self) -> float:
        """Factor of learning rates that were chosen for steps of USUAL examples: the square root, as arXiv 2205.10287
        derives for Adam."""
        return math.sqrt(self.examples / USUAL) if self.found else 1.0


def largest(fits: Callable[[int], bool], most: int) -> Step:
    """The largest USUAL * 2**k up to `most` that `fits`; where not even USUAL does, USUAL in as few parts as it needs.

    fits   do so many examples of one step find room at a time?
    """
    examples, parts = USUAL, 1
    while not fits(math.ceil(examples / parts)) and parts < examples:
        parts *= 2
    while parts == 1 and examples * 2 <= most and fits(examples * 2):
        examples *= 2
    return Step(examples, parts, found=True)


def found(model: nn.Module, examples: Sequence[Example], collate: Collate, loss: Loss, device: torch.device) -> Step:
    """The step for `model`, on its device and frozen as it is going to be trained; said in a line.

    On a CPU, where larger steps are no faster (see edgeft.quant.feed.batch_for), it is USUAL.
    """
    if device.type == "cpu":
        console.say(f"--batch-size auto: {USUAL} examples a step; on a CPU larger ones are not faster")
        return Step(USUAL)
    lengths = text_lengths(examples)
    longest_first = range(len(examples)) if lengths is None else sorted(range(len(examples)), key=lambda i: -lengths[i])
    hardest = [examples[index] for index in longest_first[:_MOST]]

    def fits(n: int) -> bool:
        share = math.ceil(n / ranks.world())
        batch = collate([((0, i), hardest[i % len(hardest)]) for i in range(share)])
        return all(processes.gathered(_fits(model, batch, loss, device)))

    step = largest(fits, min(_MOST, len(examples) // _STEPS_AN_EPOCH))
    free = torch.cuda.get_device_properties(device).total_memory / 2**30
    rates = f"; learning rates chosen for {USUAL} times {step.rate:.3g}" if step.rate != 1 else ""
    parts = f" in {step.parts} parts one after the other" if step.parts > 1 else ""
    console.say(f"--batch-size auto: {step.examples} examples a step{parts} ({free:.0f} GB of memory a GPU){rates}")
    return step


def _fits(model: nn.Module, batch: Mapping[str, Tensor], loss: Loss, device: torch.device) -> bool:
    """Try one step without taking it. Weights, gradients and the mode of the model are as before."""
    before = model.training
    enough = True
    try:
        _try(model.train(), batch, loss, device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        enough = False
    model.train(before).zero_grad(set_to_none=True)
    release()
    return enough


def _try(model: nn.Module, batch: Mapping[str, Tensor], loss: Loss, device: torch.device) -> None:
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    state = [torch.empty_like(parameter) for parameter in learning for _ in range(_STATE)]
    tensors = {name: tensor.to(device) for name, tensor in batch.items()}
    labels = tensors.pop("labels")
    value = loss(logits_of(model(**tensors)).float(), labels, tensors)
    if learning:
        value.backward()
    del state
