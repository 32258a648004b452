"""The held-out examples, one at a time: encoded when they are needed, never all held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.content import length
from edgeft.data.dataset import Example
from edgeft.errors import DataError, EdgeftError
from edgeft.tasks.task import Encoder

Arrays = Mapping[str, NDArray[Any]]

# Encoded examples held for one round of latency blocks.
POOL_BYTES = 8_000_000
POOL_EXAMPLES = 256


@dataclass
class Samples:
    """Held-out examples with their encoder.

    unreadable  position -> why, filled while examples are encoded; every variant is scored without these
    lengths     position -> tokens, for texts
    cut         positions of texts that were cut to the tuned length
    """

    examples: Sequence[Example]
    encoder: Encoder
    unreadable: dict[int, str] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.examples)

    def encode(self, position: int) -> Arrays | None:
        """Arrays of one example with batch 1, or None when its file cannot be read."""
        if position in self.unreadable:
            return None
        example = self.examples[position]
        before = self._cut_so_far()
        try:
            arrays = self.encoder([example.content])
        # Pillow and soundfile report a broken file by any of these, by format; tokens of a good text raise none.
        except (OSError, ValueError, SyntaxError, EOFError, DataError) as error:
            self.unreadable[position] = error.what if isinstance(error, EdgeftError) else f"{example.id}: {error}"
            return None
        if self._cut_so_far() > before:
            self.cut.add(position)
        first = next(iter(arrays.values()))
        if first.ndim == 2 and np.issubdtype(first.dtype, np.integer):
            self.lengths[position] = int(first.shape[1])
        return arrays

    def _cut_so_far(self) -> int:
        return int(getattr(self.encoder, "truncated", 0))

    def memory(self) -> dict[str, Any]:
        """What was learnt of the examples, as JSON."""
        return {"unreadable": list(self.unreadable.items()), "lengths": list(self.lengths.items()),
                "cut": sorted(self.cut)}  # fmt: skip

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take over what `memory` gave in an earlier sitting."""
        self.unreadable |= dict(memory["unreadable"])
        self.lengths |= dict(memory["lengths"])
        self.cut |= set(memory["cut"])

    def long_ones(self, count: int) -> list[Arrays]:
        """Up to `count` readable examples, the longest texts first: what a peak of memory depends on."""
        found: list[Arrays] = []
        for position in sorted(range(len(self)), key=self._length, reverse=True):
            arrays = self.encode(position)
            if arrays is not None:
                found.append(arrays)
            if len(found) == count:
                break
        if not found:
            raise DataError("not one held-out example of the bundle can be read", "export the run again")
        return found

    def _length(self, position: int) -> int:
        return length(self.examples[position].content)

    def stream(self) -> Iterator[tuple[int, Arrays]]:
        """(position, arrays) of every readable example, in order."""
        for position in range(len(self)):
            arrays = self.encode(position)
            if arrays is not None:
                yield position, arrays

    def windows(self, seed: int) -> Iterator[list[tuple[int, Arrays]]]:
        """Endless windows of a seeded order, as many examples in each as POOL_BYTES hold.

        Every variant of a round gets the same window, so their queries are paired by example.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        window: list[tuple[int, Arrays]] = []
        held = 0
        while len(self.unreadable) < len(self):
            for position in map(int, order):
                arrays = self.encode(position)
                if arrays is None:
                    continue
                size = sum(value.nbytes for value in arrays.values())
                if window and (held + size > POOL_BYTES or len(window) >= POOL_EXAMPLES):
                    yield window
                    window, held = [], 0
                window.append((position, arrays))
                held += size
            if window and len(window) + len(self.unreadable) >= len(self):
                yield window
                window, held = [], 0
