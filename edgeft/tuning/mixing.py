"""Mixup and cutmix: training images blended with, or pasted into, others of their batch, and their labels likewise.

Written here, since timm's need batches of an even size and draw from the random numbers that everybody shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
# (images, their partners, lambda, rng) -> images of which `share` is their own
_Way = Callable[[Images, Images, float, np.random.Generator], tuple[Images, float]]


@dataclass(frozen=True)
class Mix:
    """Mixes a batch of images, float32 [n, 3, H, W], and their labels.

    ways   ("mixup" or "cutmix", alpha), of which each batch draws one; lambda is drawn once a batch from
           Beta(alpha, alpha)
    n_labels  length of a row of label shares
    """

    ways: tuple[tuple[str, float], ...]
    n_labels: int

    def __call__(
        self, images: Images, labels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Images, Images]:
        """The mixed images, and label shares float32 [n, labels] whose rows sum to 1."""
        name, alpha = self.ways[rng.integers(len(self.ways))]
        partners = rng.permutation(len(images))
        mixed, own = _WAYS[name](images, images[partners], float(rng.beta(alpha, alpha)), rng)
        shares = np.eye(self.n_labels, dtype=np.float32)[labels]
        return mixed, np.float32(own) * shares + np.float32(1 - own) * shares[partners]


def _mixup(images: Images, others: Images, share: float, rng: np.random.Generator) -> tuple[Images, float]:
    """arXiv 1710.09412, equation 1: both images at every pixel."""
    return (np.float32(share) * images + np.float32(1 - share) * others), share


def _cutmix(images: Images, others: Images, share: float, rng: np.random.Generator) -> tuple[Images, float]:
    """arXiv 1905.04899, equations 1 and 2: a box of the other image with 1 - share of the area, cut off at the border;
    the share of the label is what is left of the area."""
    height, width = images.shape[2:]
    side = math.sqrt(1 - share)
    top, bottom = _range(height, side, rng)
    left, right = _range(width, side, rng)
    mixed = images.copy()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _range(length: int, side: float, rng: np.random.Generator) -> tuple[int, int]:
    """Start and end of `side` times `length` pixels around a middle drawn at random, cut off at 0 and `length`."""
    half, middle = int(length * side) / 2, int(rng.integers(length))
    return max(0, math.floor(middle - half)), min(length, math.floor(middle + half))


_WAYS: dict[str, _Way] = {"mixup": _mixup, "cutmix": _cutmix}
MIXING = tuple(_WAYS)
