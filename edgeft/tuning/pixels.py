"""Vary the colours of training images, and RandAugment: on pixels 0..255, as Pillow and timm know them.

An encoded image is brought back to pixels by the description it was encoded with, varied, and encoded again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
_ORDER = {"RGB": (0, 1, 2), "BGR": (2, 1, 0)}


@dataclass(frozen=True)
class Pixels:
    """Takes an encoded image, float32 [3, H, W], and returns it as `changes` made it, one after the other.

    value = (pixel * rescale - mean) / std, as edgeft.tasks.image_encoder has it; `order` is that of the channels.
    Values between two pixels are rounded, and those outside 0..255 cut off.
    """

    changes: tuple[Change, ...]
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: tuple[int, ...]

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (self.mean, self.std))
        pixels = np.rint((image * std + mean) / np.float32(self.rescale)).clip(0, 255).astype(np.uint8)
        picture = Image.fromarray(np.ascontiguousarray(pixels[list(self.order)].transpose(1, 2, 0)))
        for change in self.changes:
            picture = change(picture, rng)
        varied = np.asarray(picture, np.float32).transpose(2, 0, 1)[list(self.order)]
        found: NDArray[np.float32] = (varied * np.float32(self.rescale) - mean) / std
        return found


def pixels(changes: tuple[Change, ...], preprocessing: Mapping[str, Any]) -> Pixels:
    """`changes` on images that were encoded by the description `preprocessing`."""
    mean, std = (tuple(float(value) for value in preprocessing[key]) for key in ("mean", "std"))
    return Pixels(changes, float(preprocessing["rescale"]), mean, std, _ORDER[preprocessing["channels"]])


_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclass(frozen=True)
class Colour:
    """Brightness, contrast and saturation times factors from 1 - share to 1 + share, in random order."""

    share: float

    def __call__(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        for which in rng.permutation(len(_ENHANCERS)):
            picture = _ENHANCERS[which](picture).enhance(1 + rng.uniform(-self.share, self.share))
        return picture


@dataclass(frozen=True)
class RandAugment:
    """Two operations of timm's RandAugment (arXiv 1909.13719), each applied to every other image, near `magnitude`.

    What comes into the picture from outside has the colour `fill`, the mean the model was trained with.
    """

    magnitude: float
    fill: tuple[int, ...]

    def __call__(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        with _global_numbers(rng):
            found: Image.Image = _timm_policy(self.magnitude, self.fill)(picture)
        return found


@lru_cache(maxsize=8)
def _timm_policy(magnitude: float, fill: tuple[int, ...]) -> Any:
    from timm.data.auto_augment import rand_augment_transform

    # "inc1" is the set whose operations all get stronger with the magnitude; each is drawn around it with a deviation
    # of 0.5 ("mstd"), as in timm's own recipes.
    # At a magnitude of 10 posterizing would keep 0 bits, which Pillow refuses; just below it keeps 1.
    policy = rand_augment_transform("rand-n2-mstd0.5-inc1", {"img_mean": fill, "magnitude_max": 9.99})
    for operation in policy.ops:
        operation.magnitude = magnitude  # the text in front takes whole numbers only
    return policy


@contextmanager
def _global_numbers(rng: np.random.Generator) -> Iterator[None]:
    """timm draws from the generators of `random` and numpy that everybody shares: inside, they follow from `rng`, and
    afterwards they are as they were."""
    python, shared = random.getstate(), np.random.get_state()
    random.seed(int(rng.integers(2**63)))
    np.random.seed(int(rng.integers(2**32)))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(shared)
