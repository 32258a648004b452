"""Images decoded once: their pixels stay in memory, up to a limit, for the epochs and scorings that follow.

Decoding and resizing a photograph takes longer than a step of a small network on it. The memory belongs to all loader
processes of a run, which are forked from the one that made it, and is taken page by page as images come.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import ranks
from edgeft.evaluation.conditions import available_bytes
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.task import Encoder, TensorSpec

# What is left to weights, batches and everything else of the memory that is free when a run begins.
_SHARE = 4


@dataclass(frozen=True)
class Room:
    """Bytes for the images that are scored again and again, and for those that are trained on."""

    scored: int
    trained: int


def room_for_images(given_mb: int | None) -> Room:
    """--image-cache, by default a quarter of the memory that is free; the processes on this machine share it.

    A quarter of it is for the held-out images, of which there are fewer.
    """
    whole = (available_bytes() or 0) // _SHARE if given_mb is None else given_mb << 20
    own = whole // ranks.world_here()
    return Room(own // 4, own - own // 4)


class Remembered:
    """An image encoder that keeps the pixels of the first `paths` that `limit_bytes` hold, uint8 [height, width, 3]."""

    def __init__(self, encoder: ImageEncoder, paths: Iterable[Path], limit_bytes: int) -> None:
        self.encoder = encoder
        self.inputs: tuple[TensorSpec, ...] = encoder.inputs
        height, width = (int(side) for side in encoder.inputs[0].shape[2:])
        each = height * width * 3
        distinct = list(dict.fromkeys(paths))[: limit_bytes // each]
        self._slots = {path: slot for slot, path in enumerate(distinct)}
        self.size_bytes = len(distinct) * each
        # Anonymous and shared: what one loader process writes, the others and this one read.
        memory, marks = mmap.mmap(-1, max(self.size_bytes, 1)), mmap.mmap(-1, max(len(distinct), 1))
        self._pixels = np.frombuffer(memory, np.uint8, self.size_bytes).reshape(-1, height, width, 3)
        self._filled = np.frombuffer(marks, np.uint8, len(distinct))

    def __call__(self, contents: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
        """As the encoder's. Raises DataError when a file is missing or cannot be decoded whole."""
        images = [self.encoder.normalise(self._of(Path(path))) for path in contents]
        return {self.inputs[0].name: np.stack(images)}

    def _of(self, path: Path) -> NDArray[np.uint8]:
        slot = self._slots.get(path)
        if slot is None:
            return self.encoder.pixels(path)
        if not self._filled[slot]:
            self._pixels[slot] = self.encoder.pixels(path)
            self._filled[slot] = 1  # last: another process may look meanwhile, and then decodes it too
        return self._pixels[slot]


def remembering(encoder: Encoder, contents: Iterable[Any], limit_bytes: int) -> Encoder:
    """`encoder` with memory for the images among `contents`; itself where it encodes something else."""
    if not isinstance(encoder, ImageEncoder) or limit_bytes <= 0:
        return encoder
    return Remembered(encoder, contents, limit_bytes)
