"""Proof that a description prepares images as the processor it describes: both are run on two images.

One that differs is refused, so a processor nobody described cannot be misread. Processors that resize with Pillow give
the very same pixels. torchvision rounds the filters' weights more coarsely: on 120 photographs its processors were
within 1/255 of Pillow's on all but 4 in 100,000 pixels, and bicubic differed by up to 6/255 on those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.imagefile import pillow
from edgeft.errors import ModelError
from edgeft.tasks.image_encoder import ImageEncoder


def prove(processor: Any, description: Mapping[str, Any]) -> None:
    """Compare the description with the processor itself on a wide and a tall image of odd sizes.

    Raises ModelError when they differ or the processor does not take an image.
    """
    encoder = ImageEncoder(description)
    steps = np.asarray(description["std"], np.float32).reshape(3, 1, 1) / np.float32(description["rescale"])
    for image in (_sample(301, 203), _sample(115, 189)):
        ours = encoder.normalise(encoder.arrange(image))
        theirs = _theirs(processor, image)
        if ours.shape != theirs.shape or not _equal(np.abs((ours - theirs) * steps)):
            raise ModelError(
                f"{type(processor).__name__} prepares images in a way edgeft does not know: its result differs from "
                f"resize {description.get('resize')}, crop {description.get('crop')}, mean {description['mean']}, std "
                f"{description['std']}",
                "choose a model with one of the usual image processors",
            )


def _equal(steps: NDArray[np.float32]) -> bool:
    """Whether differences, in steps of a pixel's 0..255, are no more than rounding."""
    return bool((steps > 1.1).mean() < 1e-3 and steps.mean() < 0.5)


def _theirs(processor: Any, image: Any) -> NDArray[np.float32]:
    try:
        found = np.asarray(processor(images=image, return_tensors="pt")["pixel_values"], np.float32)
    except Exception as error:  # any processor of the Hub may stand here
        raise ModelError(f"{type(processor).__name__} could not be tried on an image: {error}") from error
    return found[0] if found.ndim == 4 and len(found) == 1 else found


def _sample(width: int, height: int) -> Any:
    """A colourful image with smooth parts, edges and noise; no two channels alike."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    planes = np.stack([x * 215 // width, y * 215 // height, ((x // 16 + y // 16) % 2) * 215], axis=2)
    return pillow().Image.fromarray((planes + noise).astype(np.uint8))
