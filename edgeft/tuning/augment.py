"""What --augment does to training examples. Images are varied after they were encoded, so that the device's
preprocessing stays the one and only.

"crop" zooms, shifts and turns a little and changes the light; it is safe for digits and writing. "flip" does the same
and mirrors left and right: for photographs, never for anything that can be read. Both encode with the same description
a third larger: a view is cut from more pixels than the model sees, and is as sharp as the images of the device. A net
trained on enlarged, blurred views answers worse on sharp ones. Colours, RandAugment, mixtures and words are in
edgeft.tuning.pixels, mixing and words, sounds in edgeft.tuning.shifting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeft import policies
from edgeft.tuning.batches import Augment, Variation
from edgeft.tuning.mixing import MIXING, Mix
from edgeft.tuning.pixels import Change, Colour, RandAugment, pixels
from edgeft.tuning.shifting import SOUNDS
from edgeft.tuning.words import Reword

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


@dataclass(frozen=True)
class Chain:
    """One variation after the other."""

    steps: tuple[Augment, ...]

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        for step in self.steps:
            image = step(image, rng)
        return image


def variation(given: str, preprocessing: Mapping[str, Any], n_labels: int) -> Variation:
    """What --augment `given` (see edgeft.policies) does to examples encoded by the description `preprocessing`."""
    strength = policies.strengths(given)
    ways = tuple((name, strength[name]) for name in MIXING if name in strength)
    reword = Reword(strength.get("word-dropout", 0.0), strength.get("word-swap", 0.0))
    return Variation(
        image=_of_one_image(strength, preprocessing) or _of_one_sound(strength, preprocessing),
        text=reword if reword != Reword() else None,
        batch=Mix(ways, n_labels) if ways else None,
    )


def cuts_views(given: str) -> bool:
    """Are views cut from larger images?"""
    return not _VIEWS.isdisjoint(policies.strengths(given))


_VIEWS = {"crop", "flip"}


def _of_one_image(strength: Mapping[str, float], preprocessing: Mapping[str, Any]) -> Augment | None:
    steps: list[Augment] = []
    if not _VIEWS.isdisjoint(strength):
        steps.append(Vary("flip" in strength, preprocessing["height"], preprocessing["width"]))
    changes = tuple(made(strength[name], preprocessing) for name, made in _CHANGES.items() if name in strength)
    if changes:
        steps.append(pixels(changes, preprocessing))
    return Chain(tuple(steps)) if len(steps) > 1 else steps[0] if steps else None


def _of_one_sound(strength: Mapping[str, float], preprocessing: Mapping[str, Any]) -> Augment | None:
    steps = tuple(made(strength[name], preprocessing) for name, made in SOUNDS.items() if name in strength)
    return Chain(steps) if len(steps) > 1 else steps[0] if steps else None


def _rand_augment(magnitude: float, preprocessing: Mapping[str, Any]) -> Change:
    mean = [round(value / preprocessing["rescale"]) for value in preprocessing["mean"]]
    ordered = mean if preprocessing["channels"] == "RGB" else mean[::-1]
    return RandAugment(magnitude, tuple(min(255, max(0, value)) for value in ordered))


_CHANGES: Mapping[str, Callable[[float, Mapping[str, Any]], Change]] = {
    "colour": lambda share, _: Colour(share),
    "randaugment": _rand_augment,
}


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
