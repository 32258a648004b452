from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tuning import remembered
from edgeft.tuning.remembered import Remembered, remembering, room_for_images
from tests.tuning import small

HOW = {
    "kind": "image", "channels": "BGR", "orientation": "exif", "background": [0, 0, 0],
    "resize": {"rule": "exact", "height": 16, "width": 24}, "resample": "bilinear", "height": 16, "width": 24,
    "rescale": 1 / 255, "mean": [0.5] * 3, "std": [0.25, 0.5, 0.5], "input": "pixel_values",
}  # fmt: skip
EACH = 16 * 24 * 3


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [example.content for example in small.image_dataset(tmp_path).splits["train"]][:6]  # type: ignore[misc]


@pytest.fixture
def decoded(monkeypatch: Any) -> list[str]:
    seen: list[str] = []
    plain = ImageEncoder.pixels

    def pixels(self: ImageEncoder, path: Path) -> Any:
        seen.append(path.name)
        return plain(self, path)

    monkeypatch.setattr(ImageEncoder, "pixels", pixels)
    return seen


def test_each_image_is_decoded_once_up_to_the_limit(images: list[Path], decoded: list[str]) -> None:
    encoder = Remembered(ImageEncoder(HOW), [*images, images[0]], 4 * EACH + 1)
    assert encoder.size_bytes == 4 * EACH
    first = encoder(images)["pixel_values"]
    assert len(decoded) == 6
    second = encoder(images)["pixel_values"]
    assert decoded[6:] == [path.name for path in images[4:]]  # two of six found no room
    wanted = ImageEncoder(HOW)(images)["pixel_values"]
    assert first.dtype == np.float32 and np.array_equal(first, wanted) and np.array_equal(second, wanted)


def test_what_a_loader_process_decoded_the_others_need_not(images: list[Path], decoded: list[str]) -> None:
    encoder = Remembered(ImageEncoder(HOW), images, 1 << 20)
    pid = os.fork()
    if pid == 0:
        encoder(images[:3])
        os._exit(0)
    os.waitpid(pid, 0)
    encoder(images)
    assert decoded == [path.name for path in images[3:]]


def test_memory_is_shared_by_what_is_scored_and_what_is_trained_on(monkeypatch: Any) -> None:
    room = room_for_images(100)
    assert (room.scored, room.trained) == (25 << 20, 75 << 20)
    monkeypatch.setattr(remembered, "available_bytes", lambda: 800 << 20)
    assert sum(vars(room_for_images(None)).values()) == 200 << 20
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert sum(vars(room_for_images(100)).values()) == 25 << 20


def test_no_room_and_no_images_leave_the_encoder_as_it_is(images: list[Path]) -> None:
    encoder = ImageEncoder(HOW)
    assert remembering(encoder, images, 0) is encoder
    texts: Any = lambda contents: {}  # noqa: E731
    assert remembering(texts, ["a"], 1 << 20) is texts
