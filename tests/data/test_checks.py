from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgeft.data.checks import check
from edgeft.data.found import Row
from edgeft.data.read import read_dataset
from edgeft.files import sha256_text
from tests.data.pictures import picture, save, three_splits


def row(number: int, text: str, label: str = "a") -> Row:
    return Row(f"all.csv:{number}", text, label, sha256_text(text))


def splits(train: list[Row], test: list[Row]) -> dict[str, list[Row]]:
    return {"train": train, "validation": [row(90, "nothing like it")], "test": test}


def test_near_copies_of_texts_are_told_apart_from_exact_ones() -> None:
    train = [row(1, "Play some jazz"), row(2, "stop", "b")]
    lines, facts = check(splits(train, [row(3, "play some jazz!"), row(4, "stop", "b"), row(5, "go")]), "text")
    assert lines[0] == "1 of the 3 test examples are exact copies of train examples"
    assert lines[1] == (
        "1 of the 3 test examples are nearly the same as a train example; the first, all.csv:3, as all.csv:1"
    )
    assert facts["copies"] == [
        {"split": "test", "of": "train", "exact": ["all.csv:4"], "near": [["all.csv:3", "all.csv:1"]]}
    ]


def test_one_content_under_two_labels() -> None:
    train = [row(1, "stop", "a"), row(2, "stop", "b"), row(3, "Stop.", "b"), row(4, "go", "a")]
    lines, facts = check(splits(train, [row(5, "wait")]), "text")
    assert "2 examples have a copy with another label; the first, all.csv:1, is 'a' and 'b'" in lines
    assert "1 more are nearly the same as a text with another label; the first, all.csv:3" in lines
    assert facts["labels"] == {"exact": ["all.csv:1", "all.csv:2"], "near": ["all.csv:3"]}


@pytest.mark.parametrize(("rare", "said"), [(11, 0), (10, 1)])
def test_classes_of_very_different_size(rare: int, said: int) -> None:
    train = [row(i, f"text {i}", "a") for i in range(100)] + [row(200 + i, f"rare {i}", "b") for i in range(rare)]
    lines, facts = check(splits(train, [row(500, "new")]), "text")
    assert sum("--class-weights balanced" in line for line in lines) == said
    assert facts["balance"]["largest_share"] == round(100 / (100 + rare), 4)


def test_a_picture_of_train_that_was_saved_again_in_test(tmp_path: Path) -> None:
    three_splits(tmp_path, n=3)
    again = picture(77, 320, 240)
    save(tmp_path / "train/cat/b.png", 77, width=320, height=240)
    again.resize((160, 120)).save(tmp_path / "test/cat/small.jpg", quality=60)
    data = read_dataset(str(tmp_path), seed=0)
    assert data.checks["copies"] == [
        {"split": "test", "of": "train", "exact": [], "near": [["test/cat/small.jpg", "train/cat/b.png"]]}
    ]


def test_modes_sizes_and_turned_images_are_counted(tmp_path: Path) -> None:  # D12, D14
    three_splits(tmp_path)
    picture(5).convert("CMYK").save(tmp_path / "train/cat/ink.jpg")
    picture(6).convert("L").save(tmp_path / "train/cat/gray.png")
    picture(7).convert("P").save(tmp_path / "train/cat/palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture(8, 40, 30).save(tmp_path / "train/cat/turned.jpg", exif=exif)
    data = read_dataset(str(tmp_path), seed=0)
    assert data.checks["images"] == {
        "modes": {"RGB": 13, "CMYK": 1, "L": 1, "P": 1},
        "shorter_side_px": {"least": 23, "median": 23, "most": 30},
        "turned_by_exif": 1,
        "several_frames": 0,
    }
    assert "3 images are not stored as RGB and are converted to it: CMYK 1, gray 1, palette 1" in data.notices
    assert "1 images are turned upright as their EXIF data says" in data.notices
    json.dumps(data.checks)


def test_images_that_were_not_decoded_have_no_figures(tmp_path: Path) -> None:
    data: Any = read_dataset(str(three_splits(tmp_path)), seed=0, image_check=False)
    assert "images" not in data.checks and data.checks["copies"] == []
