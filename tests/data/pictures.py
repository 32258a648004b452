"""Small real image files, made where they are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int = 0, width: int = 31, height: int = 23) -> Image.Image:
    """A smooth, colourful picture with a little noise, different for every seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / a + y / b + c) * 100 + 120 for a, b, c in random.uniform(4, 40, (3, 3))]
    return Image.fromarray((np.stack(waves, axis=2) + random.uniform(0, 30, (height, width, 3))).astype(np.uint8))


def save(path: Path, seed: int = 0, **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, **options).save(path)
    return path


def class_folders(root: Path, counts: dict[str, int], suffix: str = ".jpg") -> Path:
    """`counts`: "train/cat" -> number of pictures in that folder, all different."""
    for number, (folder, n) in enumerate(sorted(counts.items())):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(n):
            save(root / folder / f"{index:03d}{suffix}", seed=1000 * number + index)
    return root


def three_splits(root: Path, labels: tuple[str, ...] = ("cat", "dog"), n: int = 2) -> Path:
    return class_folders(root, {f"{s}/{label}": n for s in ("train", "validation", "test") for label in labels})
