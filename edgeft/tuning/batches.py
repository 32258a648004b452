"""Examples in order, encoded by the task's own encoder: training sees what the device will see."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeft.data.dataset import Example
from edgeft.quant.feed import tensors_of
from edgeft.tasks.task import ASKED, IGNORED, Encoder, TensorSpec, labels_of, without_mask

# Batches that are sorted by length together: enough for little padding, few enough for a fresh mix every epoch.
_POOL_BATCHES = 50
# Batches that each loader process has ready, as edgeft.tuning.defaults reckons its memory.
_AHEAD = 2

Augment = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
Reword = Callable[[str, np.random.Generator], str]
# (images [n, 3, H, W], labels [n], rng) -> images and label shares [n, labels]
Mix = Callable[[NDArray[np.float32], NDArray[np.int64], np.random.Generator], tuple[NDArray[Any], NDArray[Any]]]
Key = tuple[int, int]


@dataclass(frozen=True)
class Variation:
    """How training examples are varied; None is not at all. All of it can be sent to loader processes.

    image   one encoded image or sound
    text    one text, before it is encoded
    batch   the images of a batch with each other, and their labels with them
    """

    image: Augment | None = None
    text: Reword | None = None
    batch: Mix | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) is not None for each in fields(self))


NO_VARIATION = Variation()
# Beside seed, epoch and index of its first example: what a batch draws has nothing to do with what that example drew.
_OF_BATCH = 1


class Order(Sampler[Key]):
    """Which examples come when: (epoch, index) pairs, a pure function of seed and epoch.

    A resumed run therefore plays the same batches as an unbroken one. With `lengths`, batches hold examples of
    like length, so that little is padded. With `shares`, an epoch draws as many examples as there are, each with its
    share as the probability, so that one may come twice and another not at all. A last batch of one example is left
    out of its epoch: BatchNorm cannot take statistics of a single one.
    """

    def __init__(
        self,
        n: int,
        seed: int,
        batch_size: int,
        lengths: Sequence[int] | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        self._n, self._seed, self.batch_size, self._lengths, self._shares = n, seed, batch_size, lengths, shares
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        alone = self._n > self.batch_size > 1 and self._n % self.batch_size == 1
        return self._n - 1 if alone else self._n

    def __iter__(self) -> Iterator[Key]:
        rng = np.random.default_rng([self._seed, self.epoch])
        order = rng.permutation(self._n) if self._shares is None else rng.choice(self._n, self._n, p=self._shares)
        if self._lengths is not None:
            order = self._grouped(order, np.asarray(self._lengths), rng)
        epoch = self.epoch
        return ((epoch, int(index)) for index in order[: len(self)])

    def _grouped(self, order: NDArray[np.int64], lengths: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
        pool = self.batch_size * _POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, self._n, pool)]
        by_length = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in pools])
        batches = [by_length[start : start + self.batch_size] for start in range(0, self._n, self.batch_size)]
        # The short last batch stays last: a sampler knows nothing of batches, it only fills them in order.
        whole = len(batches) - (1 if len(batches[-1]) < self.batch_size else 0)
        mixed = [batches[number] for number in rng.permutation(whole)] + batches[whole:]
        return np.concatenate(mixed)


class Shares:
    """Batches of keys for one of several processes: its share of each batch of `order`.

    A batch that has fewer examples than there are processes gives some of them to two.
    """

    def __init__(self, order: Order, number: int, world: int) -> None:
        self._order, self._number, self._world = order, number, world

    def set_epoch(self, epoch: int) -> None:
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._order.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self._order)
        for start in range(0, len(keys), self._order.batch_size):
            batch = keys[start : start + self._order.batch_size]
            if len(batch) < self._world:
                yield [batch[self._number % len(batch)]]
            else:
                first, end = (len(batch) * number // self._world for number in (self._number, self._number + 1))
                yield batch[first:end]


def class_shares(examples: Sequence[Example]) -> list[float]:
    """Probability of each example with which every class comes equally often: 1 / (classes * size of its class)."""
    sizes = Counter(example.label for example in examples)
    return [1 / (len(sizes) * sizes[example.label]) for example in examples]


def _labels(examples: Sequence[Example], arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """[n], or [n, positions] with IGNORED where nothing is asked."""
    labels = labels_of(examples)
    if ASKED not in arrays:
        return labels
    found = np.full(arrays[ASKED].shape, IGNORED, np.int64)
    found[arrays[ASKED]] = labels
    return found


class Samples(Dataset[tuple[Key, Example]]):
    """Examples by (epoch, index)."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: Key) -> tuple[Key, Example]:
        return key, self.examples[key[1]]


class Loader(DataLoader[Any]):
    """Batches of `shares`, encoded by `collate` in `workers` processes of their own, or in this one with 0.

    pinned   into memory that a GPU can be fed from while it computes
    """

    def __init__(
        self, samples: Dataset[Any], shares: Shares, collate: Callable[[Any], Any], workers: int, pinned: bool
    ) -> None:
        super().__init__(
            samples, batch_sampler=shares, collate_fn=collate, num_workers=workers, pin_memory=pinned,
            prefetch_factor=_AHEAD if workers else None,
        )  # fmt: skip
        self._shares = shares

    def set_epoch(self, epoch: int) -> None:
        self._shares.set_epoch(epoch)


class Collate:
    """Encode a batch; training examples are varied by a random number generator of (seed, epoch, index), and mixed by
    one of the first of them, so that a resumed run sees the same."""

    def __init__(self, encoder: Encoder, seed: int, variation: Variation = NO_VARIATION) -> None:
        self._encoder, self._seed, self._variation = encoder, seed, variation

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What a batch holds beside its labels."""
        return self._encoder.inputs

    @property
    def varies(self) -> bool:
        """Is an example another one in every epoch?"""
        return bool(self._variation)

    @property
    def mixes(self) -> bool:
        """Does an example depend on the others of its batch?"""
        return self._variation.batch is not None

    @property
    def variation(self) -> str:
        """How examples are varied, with the seed; empty when they are not."""
        return f"{self._variation!r}, seed {self._seed}" if self.varies else ""

    def __call__(self, batch: Sequence[tuple[Key, Example]]) -> dict[str, Tensor]:
        """Tensors by input name, and `labels`: int64 [n] or [n, positions], or of mixed images their shares, float32
        [n, labels]."""
        keys, examples = [key for key, _ in batch], [example for _, example in batch]
        arrays = self._varied(keys, dict(self._encoder(self._contents(keys, examples))))
        labels: NDArray[Any] = _labels(examples, arrays)
        if self._variation.batch is not None:
            name = self._encoder.inputs[0].name
            rng = np.random.default_rng([self._seed, *keys[0], _OF_BATCH])
            arrays[name], labels = self._variation.batch(arrays[name], labels, rng)
        return {**tensors_of(without_mask(arrays)), "labels": torch.from_numpy(labels)}

    def _contents(self, keys: Sequence[Key], examples: Sequence[Example]) -> list[Any]:
        reword = self._variation.text
        if reword is None:
            return [example.content for example in examples]
        pairs = zip(keys, examples, strict=True)
        return [reword(str(example.content), np.random.default_rng([self._seed, *key])) for key, example in pairs]

    def _varied(self, keys: Sequence[Key], arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        augment = self._variation.image
        if augment is None:
            return arrays
        name = self._encoder.inputs[0].name
        rngs = [np.random.default_rng([self._seed, *key]) for key in keys]
        varied = np.stack([augment(image, rng) for image, rng in zip(arrays[name], rngs, strict=True)])
        return {**arrays, name: varied}
