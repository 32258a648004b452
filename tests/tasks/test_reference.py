from __future__ import annotations

from pathlib import Path

import pytest

from edgeft.errors import FolderError
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.reference import check_reference, write_reference
from edgeft.tasks.text_encoder import TextEncoder
from tests.tasks.test_image_encoder import PLAIN
from tests.tasks.test_text_encoder import HOW, folder  # noqa: F401

IMAGE = {
    **PLAIN,
    "resize": {"rule": "shortest_edge", "size": 40},
    "resample": "bicubic",
    "crop": {"height": 32, "width": 32},
    "height": 32,
    "width": 32,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def test_same_encoder_passes(tmp_path: Path) -> None:
    assert write_reference(tmp_path, ImageEncoder(IMAGE), "image") == ["eval/reference.npz", "eval/reference.png"]
    check_reference(tmp_path, ImageEncoder(IMAGE), "image")


@pytest.mark.parametrize(
    "change",
    [
        {"channels": "BGR"},
        {"mean": [0.0] * 3, "std": [1.0] * 3},
        {"rescale": 1 / 255 / 255},
        {"resize": {"rule": "exact", "height": 40, "width": 40}},
        {"resize": {"rule": "shortest_edge", "size": 41}},
        {"resample": "nearest"},
    ],
)
def test_other_preparation_is_found(tmp_path: Path, change: dict[str, object]) -> None:  # M15, M16
    write_reference(tmp_path, ImageEncoder(IMAGE), "image")
    with pytest.raises(FolderError, match="pixel_values of the reference input differs"):
        check_reference(tmp_path, ImageEncoder({**IMAGE, **change}), "image")


def test_texts(folder: Path) -> None:  # noqa: F811  # T14
    assert write_reference(folder, TextEncoder(HOW, folder), "text") == ["eval/reference.npz"]
    check_reference(folder, TextEncoder(HOW, folder), "text")
    for change in ({"max_length": 4}, {"pad_id": 1}, {"inputs": ["input_ids"]}):
        with pytest.raises(FolderError, match="of the reference input differs"):
            check_reference(folder, TextEncoder({**HOW, **change}, folder), "text")


def test_missing_reference(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"reference.npz or .*reference.png is missing"):
        check_reference(tmp_path, ImageEncoder(IMAGE), "image")
