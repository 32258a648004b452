from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from edgeft.data.read import read_dataset
from edgeft.data.splits_record import read_split, write_splits
from edgeft.errors import DataError, FolderError
from tests.data.pictures import class_folders


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "data", {"cat": 10, "dog": 10})


def test_splits_come_back_without_splitting_again(tmp_path: Path, images: Path) -> None:
    data = read_dataset(str(images), seed=5)
    write_splits(tmp_path / "splits.jsonl", data)
    for split, examples in data.splits.items():
        assert read_split(tmp_path / "splits.jsonl", split, images) == list(examples)


def test_a_line_of_the_record(tmp_path: Path, images: Path) -> None:
    write_splits(tmp_path / "splits.jsonl", read_dataset(str(images), seed=0))
    lines = [json.loads(line) for line in (tmp_path / "splits.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    line = next(line for line in lines if line["id"] == "dog/003.jpg")
    assert line == {
        "split": line["split"],
        "id": "dog/003.jpg",
        "label": "dog",
        "label_id": 1,
        "sha256": hashlib.sha256((images / "dog/003.jpg").read_bytes()).hexdigest(),
        "file": "dog/003.jpg",
    }


def test_data_that_moved_is_found_where_it_is_now(tmp_path: Path, images: Path) -> None:
    write_splits(tmp_path / "splits.jsonl", read_dataset(str(images), seed=0))
    shutil.move(images, tmp_path / "elsewhere")
    found = read_split(tmp_path / "splits.jsonl", "test", tmp_path / "elsewhere")
    assert [str(example.content).startswith(str(tmp_path / "elsewhere")) for example in found] == [True, True]


def test_changed_and_missing_images_are_named(tmp_path: Path, images: Path) -> None:
    data = read_dataset(str(images), seed=0)
    write_splits(tmp_path / "splits.jsonl", data)
    first = data.splits["test"][0].content
    assert isinstance(first, Path)
    first.write_bytes(first.read_bytes() + b"\0")
    with pytest.raises(DataError, match=f"{first.name} has changed since the run was made"):
        read_split(tmp_path / "splits.jsonl", "test", images)
    first.unlink()
    with pytest.raises(DataError, match=f"{first.name} is missing"):
        read_split(tmp_path / "splits.jsonl", "test", images)


def test_texts_are_in_the_record(tmp_path: Path) -> None:
    lines = "".join(f'"line\n{i}",{"ab"[i % 2]}\n' for i in range(40))
    (tmp_path / "all.csv").write_text(f"text,label\n{lines}")
    data = read_dataset(str(tmp_path / "all.csv"), seed=0)
    write_splits(tmp_path / "splits.jsonl", data)
    (tmp_path / "all.csv").unlink()
    assert read_split(tmp_path / "splits.jsonl", "validation", "gone") == list(data.splits["validation"])
    text = (tmp_path / "splits.jsonl").read_text()
    (tmp_path / "splits.jsonl").write_text(text.replace("line\\n", "LINE\\n"))
    with pytest.raises(FolderError, match="the text of .* was changed"):
        read_split(tmp_path / "splits.jsonl", "validation", "gone")


def test_record_that_is_missing_or_cut_off(tmp_path: Path, images: Path) -> None:
    record = tmp_path / "splits.jsonl"
    with pytest.raises(FolderError, match="splits.jsonl is missing"):
        read_split(record, "test", images)
    write_splits(record, read_dataset(str(images), seed=0))
    with pytest.raises(FolderError, match="no examples of the dev split"):
        read_split(record, "dev", images)
    record.write_text(record.read_text()[:-30])
    with pytest.raises(FolderError, match="line 20 was edited or cut off"):
        read_split(record, "train", images)
