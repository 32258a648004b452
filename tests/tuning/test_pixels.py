from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from edgeft.tuning.pixels import Colour, RandAugment, pixels

RGB = {"rescale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "channels": "RGB"}


def encoded(picture: np.ndarray, order: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """As edgeft.tasks.image_encoder does, uint8 [H, W, 3] RGB -> float32 [3, H, W]."""
    mean, std = (np.array(RGB[key], np.float32).reshape(3, 1, 1) for key in ("mean", "std"))
    chosen = picture.transpose(2, 0, 1)[list(order)].astype(np.float32)
    return (chosen * np.float32(1 / 255) - mean) / std


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize(("channels", "order"), [("RGB", (0, 1, 2)), ("BGR", (2, 1, 0))])
def test_changes_see_the_pixels_in_rgb_and_come_back_encoded(channels: str, order: tuple[int, ...]) -> None:
    seen: list[np.ndarray] = []

    def invert(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        seen.append(np.asarray(image))
        return Image.fromarray(255 - np.asarray(image))

    found = pixels((invert,), {**RGB, "channels": channels})(encoded(picture(), order), np.random.default_rng(0))
    np.testing.assert_array_equal(seen[0], picture())
    np.testing.assert_allclose(found, encoded(255 - picture(), order), atol=1e-5)


def test_colour_keeps_a_grey_image_grey_and_its_light_within_the_factors() -> None:
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    values = [np.asarray(Colour(0.2)(grey, np.random.default_rng(seed))) for seed in range(40)]
    assert all(len(np.unique(value)) == 1 for value in values)
    levels = {int(value[0, 0, 0]) for value in values}
    # contrast and saturation do nothing to one grey, brightness is 80 to 120 % of 100
    assert len(levels) > 10 and min(levels) >= 79 and max(levels) <= 121


def test_colour_changes_saturation() -> None:
    red = Image.new("RGB", (4, 4), (200, 50, 50))
    spread = {int(np.ptp(np.asarray(Colour(0.5)(red, np.random.default_rng(seed))))) for seed in range(20)}
    assert len(spread) > 10


def test_randaugment_follows_from_the_generator_and_leaves_the_shared_ones_alone() -> None:
    image, policy = Image.fromarray(picture()), RandAugment(9.0, (128, 128, 128))
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    first = [np.asarray(policy(image, np.random.default_rng(seed))) for seed in range(12)]
    assert (random.random(), np.random.random()) == expected
    random.seed(99)
    again = [np.asarray(policy(image, np.random.default_rng(seed))) for seed in range(12)]
    np.testing.assert_array_equal(first, again)
    assert len({value.tobytes() for value in first}) > 6


def test_a_stronger_randaugment_changes_more() -> None:
    image = Image.fromarray(np.linspace(0, 255, 32 * 32 * 3).astype(np.uint8).reshape(32, 32, 3))

    def change(magnitude: float) -> float:
        policy = RandAugment(magnitude, (128, 128, 128))
        views = [np.asarray(policy(image, np.random.default_rng(seed)), float) for seed in range(60)]
        return float(np.mean([np.abs(view - np.asarray(image)).mean() for view in views]))

    assert change(1) < change(9)
