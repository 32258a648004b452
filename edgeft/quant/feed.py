"""Examples to tensors for a model that is looked at rather than trained, encoded by the task's own encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgeft.data.dataset import Example
from edgeft.data.words import Words
from edgeft.tasks.audio_encoder import FREE
from edgeft.tasks.task import ASKED, Encoder, TensorSpec, labels_of, owners_of, without_mask

_IMAGE_AXES = 4
_FEW, _MANY = 16, 64


def text_lengths(examples: Sequence[Example]) -> list[int] | None:
    """Characters of each text, a good enough stand-in for its tokens; None for images and sounds."""
    texts = [str(example.content) for example in examples if isinstance(example.content, (str, Words))]
    return [len(text) for text in texts] if len(texts) == len(examples) else None


def encoded(
    encoder: Encoder,
    examples: Sequence[Example],
    batch_size: int,
    device: torch.device,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Batches of tensors on `device` with the positions of their examples; texts of like length together.

    share   (k, n): only batches k, k + n, k + 2n, …, of the process k of n that share the work
    """
    lengths = text_lengths(examples)
    order = list(range(len(examples))) if lengths is None else sorted(range(len(examples)), key=lengths.__getitem__)
    for start in range(share[0] * batch_size, len(order), share[1] * batch_size):
        chosen = order[start : start + batch_size]
        arrays = encoder([examples[index].content for index in chosen])
        yield chosen, {name: tensor.to(device) for name, tensor in tensors_of(arrays).items()}


def logits_of(output: Any) -> Tensor:
    """The logits of a transformers output, or the tensor itself."""
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    return logits


def answers(model: Any, tensors: Mapping[str, Tensor]) -> NDArray[np.float32]:
    """What `model` answers to an encoded batch, float32 [answers, labels]; see edgeft.tasks.task.answers_in."""
    logits = logits_of(model(**without_mask(tensors)))
    found: NDArray[np.float32] = (logits[tensors[ASKED]] if ASKED in tensors else logits).float().cpu().numpy()
    return found


def tensors_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Encoded arrays as tensors, images with their channels innermost."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return {name: channels_last(tensor) for name, tensor in tensors.items()}


def channels_last(tensor: Tensor) -> Tensor:
    """Images [n, channels, height, width] with the channels innermost in memory, as convolutions like them; a step of
    EfficientNet-Lite0 took 46 ms an image instead of 73 on one core. Other tensors as they are."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == _IMAGE_AXES else tensor


def batch_for(inputs: Sequence[TensorSpec], device: torch.device) -> int:
    """Examples to run at a time when nothing is trained. Maps of many images fall out of a processor's cache:
    EfficientNet-Lite0 at 128 px answered 150 images/s in batches of 64 and 220 in batches of 16 on two cores."""
    if any(FREE in spec.shape for spec in inputs):
        return 1  # silence behind a shorter sound would be heard, and on the device there is none
    images = any(len(spec.shape) == _IMAGE_AXES for spec in inputs)
    return _FEW if images and device.type == "cpu" else _MANY


def draw(examples: Sequence[Example], n: int, seed: Sequence[int]) -> list[Example]:
    """A seeded choice of `n` examples, in the order drawn; all of them when there are fewer."""
    return [examples[index] for index in np.random.default_rng(list(seed)).permutation(len(examples))[:n]]


@dataclass(frozen=True)
class Tried:
    """Encoded examples kept in memory, to be run many times: batches of tensors, the right label of each answer, and
    its owner (see edgeft.tasks.task)."""

    batches: tuple[dict[str, Tensor], ...]
    labels: NDArray[np.int64]
    owners: NDArray[np.int64] | None = None

    def first(self, n: int) -> Tried:
        """The first batches that hold at least `n` examples."""
        taken: list[dict[str, Tensor]] = []
        while len(taken) < len(self.batches) and _rows(taken) < n:
            taken.append(self.batches[len(taken)])
        n = sum(_answers_of(batch) for batch in taken)
        return Tried(tuple(taken), self.labels[:n], None if self.owners is None else self.owners[:n])


def _rows(batches: Sequence[Mapping[str, Tensor]]) -> int:
    return sum(len(next(iter(batch.values()))) for batch in batches)


def _answers_of(batch: Mapping[str, Tensor]) -> int:
    return int(batch[ASKED].sum()) if ASKED in batch else _rows([batch])


def tried(encoder: Encoder, examples: Sequence[Example], device: torch.device, batch_size: int = 32) -> Tried:
    """All of `examples`, encoded. Texts of like length share a batch; the batches come in a mixed order, so that the
    first ones hold short and long texts."""
    pairs = list(encoded(encoder, examples, batch_size, device))
    mixed = [pairs[index] for index in np.random.default_rng(0).permutation(len(pairs))]
    asked = [examples[index] for chosen, _ in mixed for index in chosen]
    return Tried(tuple(tensors for _, tensors in mixed), labels_of(asked), owners_of(asked))
