"""Vary training images after they were encoded, so that the device's preprocessing stays the one and only.

Training encodes with the same description, a third larger: a view is cut from more pixels than the model sees, and is
as sharp as the images of the device. A net trained on enlarged, blurred views answers worse on sharp ones.

"crop" zooms, shifts and turns a little and changes the light; it is safe for digits and writing. "flip" also mirrors
left and right: for photographs, never for anything that can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeft.tuning.batches import Augment

DEFAULT = "crop"
# How much larger than the model's input images are encoded for training.
ROOM = 4 / 3
# Share of the image's side that is kept: 0.75 keeps 56 % of the area, inside the 8 % .. 100 % of the ImageNet recipe
# (arXiv 1409.4842) and mild enough that the object stays in the picture.
_ZOOM = (0.75, 1.05)
_STRETCH = 0.12
_TURN_DEGREES = 10.0
_LIGHT = 0.15


def enlarged(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """The image description with every size ROOM times larger."""

    def larger(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: larger(value) if key in _SIZES else value for key, value in part.items()}
        return round(part * ROOM)

    return dict(larger(preprocessing))


_SIZES = ("resize", "crop", "size", "height", "width")


@dataclass(frozen=True)
class Vary:
    """Takes one image, float32 [3, H, W], normalised, and returns a view of it, [3, height, width].

    A class, so that loader processes can be sent it.
    """

    mirror: bool
    height: int
    width: int

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        mirror = self.mirror and rng.random() < 0.5
        down, along = image.shape[1] / self.height, image.shape[2] / self.width
        a, b, c, d, e, f = _random_view(rng, image.shape[1], image.shape[2], mirror)
        matrix = (a * along, b * down, c, d * along, e * down, f)
        turned = np.stack([_warp(channel, matrix, self.height, self.width) for channel in image])
        gain, offset = 1 + rng.uniform(-_LIGHT, _LIGHT), rng.uniform(-_LIGHT, _LIGHT)
        return (turned * np.float32(gain) + np.float32(offset)).astype(np.float32)


def augmentation(kind: str, height: int, width: int) -> Augment | None:
    """What --augment `kind` does for a model that sees `height` x `width` pixels: none, crop or flip."""
    return None if kind == "none" else Vary(kind == "flip", height, width)


def _random_view(rng: np.random.Generator, height: int, width: int, mirror: bool) -> tuple[float, ...]:
    """Six numbers (a, b, c, d, e, f): output pixel (x, y) shows input pixel (ax + by + c, dx + ey + f), for an output
    of the input's size."""
    zoom, stretch = rng.uniform(*_ZOOM), np.exp(rng.uniform(-_STRETCH, _STRETCH))
    turn = np.deg2rad(rng.uniform(-_TURN_DEGREES, _TURN_DEGREES))
    along, down = zoom * stretch * (-1 if mirror else 1), zoom / stretch
    a, b = along * np.cos(turn), -down * np.sin(turn)
    d, e = along * np.sin(turn), down * np.cos(turn)
    # Shift the middle of the view anywhere the view still fits.
    slack_x, slack_y = max(0.0, 1 - abs(along)) / 2, max(0.0, 1 - down) / 2
    centre_x = width * (0.5 + rng.uniform(-slack_x, slack_x))
    centre_y = height * (0.5 + rng.uniform(-slack_y, slack_y))
    c = centre_x - a * width / 2 - b * height / 2
    f = centre_y - d * width / 2 - e * height / 2
    return (a, b, c, d, e, f)


def _warp(
    channel: NDArray[np.float32], matrix: tuple[float, ...], height: int, width: int
) -> NDArray[np.float32]:
    """Bilinear view, [height, width], of one float channel; what lies outside the image repeats its border."""
    border = max(channel.shape) // 4
    padded = Image.fromarray(np.pad(channel, border, mode="edge"), mode="F")
    a, b, c, d, e, f = matrix
    # Reading from the padded image moves every source coordinate by the border.
    moved = (a, b, c + border, d, e, f + border)
    view = padded.transform((width, height), Image.Transform.AFFINE, moved, resample=Image.Resampling.BILINEAR)
    return np.asarray(view, dtype=np.float32)
