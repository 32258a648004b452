"""The held-out examples: those the bundle carries, and those the files are tried on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeft import console
from edgeft.data.dataset import Example
from edgeft.exporting.sessions import Batch
from edgeft.quant.feed import answers, tensors_of
from edgeft.runfolder import Run
from edgeft.tasks.task import Encoder, answers_each, labels_of, owners_of, without_mask

# How many samples the gates run on: one in 200 may differ and not fail them.
TRIED = 256
_BATCH = 32


@dataclass(frozen=True)
class Trial:
    """Encoded samples in batches; texts are padded to the longest of their batch.

    ids, labels, owners   one an answer: the sample it is of, what is right, the example (see edgeft.tasks.task)
    """

    batches: tuple[Batch, ...]
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    owners: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        """Samples, each a row of a batch."""
        return sum(len(next(iter(batch.values()))) for batch in self.batches)

    def tensors(self) -> list[dict[str, Tensor]]:
        return [tensors_of(batch) for batch in self.batches]

    def example(self, rows: int = 2) -> dict[str, Tensor]:
        """Two rows of the longest batch: what a graph with a free batch is captured with. One for a fixed batch."""
        longest = max(self.batches, key=lambda batch: max(content[0].size for content in batch.values()))
        return {
            name: torch.from_numpy(np.ascontiguousarray(np.resize(content, (rows, *content.shape[1:]))))
            for name, content in without_mask(longest).items()
        }

    def rows(self, n: int) -> Iterator[Batch]:
        """The first `n` samples, one by one."""
        singles = (
            {name: content[index : index + 1] for name, content in batch.items()}
            for batch in self.batches
            for index in range(len(next(iter(batch.values()))))
        )
        return itertools.islice(singles, n)


def held_out(run: Run, n: int | None) -> list[Example]:
    """The test examples, or a seeded choice of `n` of them in their order."""
    return _some(run.examples("test"), n, int(run.document["seed"]))


def _some(examples: Sequence[Example], n: int | None, seed: int) -> list[Example]:
    if n is None or n >= len(examples):
        return list(examples)
    chosen = np.random.default_rng([seed, 2]).permutation(len(examples))[:n]
    return [examples[index] for index in sorted(chosen)]


def encode(encoder: Encoder, examples: Sequence[Example], seed: int, one_by_one: bool = False) -> Trial:
    """Up to TRIED of `examples`, encoded as the device will encode them.

    one_by_one   a batch holds one sample: several would give other numbers, or cannot be run
    """
    chosen = _some(examples, TRIED, seed)
    wide = 1 if one_by_one else _BATCH
    starts = range(0, len(chosen), wide)
    batches = [
        encoder([example.content for example in chosen[start : start + wide]])
        for start in console.track(starts, "encoding samples", unit="batches")
    ]
    ids = [example.id for example, n in zip(chosen, answers_each(chosen), strict=True) for _ in range(n)]
    return Trial(tuple(batches), tuple(ids), labels_of(chosen), owners_of(chosen))


@torch.no_grad()
def torch_answers(model: nn.Module, trial: Trial) -> NDArray[np.float32]:
    """Logits [answers, labels] of a torch model that takes named tensors."""
    return np.concatenate([answers(model, tensors) for tensors in trial.tensors()])
