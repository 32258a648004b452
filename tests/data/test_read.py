"""The door to kinds of data: every reader in the table, and that each thing is read by one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeft.data import read
from edgeft.data.columns import Columns
from edgeft.data.found import ALL, Found, Row
from edgeft.data.read import READERS, read_dataset
from edgeft.errors import DataError
from edgeft.registry import Registry
from tests.data.pictures import class_folders


@pytest.mark.parametrize("name", READERS.names())
def test_every_reader_says_what_it_takes(name: str) -> None:
    reader = READERS.load(name)
    assert reader.takes
    assert not reader.can_read("/nowhere/at/all")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda root: class_folders(root, {"a": 1, "b": 1}), "image-folder"),
        (lambda root: class_folders(root, {"train/a": 1}), "image-folder"),
        (lambda root: file(root / "low/a.wav").parents[1], "audio-folder"),
        (lambda root: file(root / "train/low/a.FLAC").parents[2], "audio-folder"),
        (lambda root: [file(root / "clips/a.wav"), file(root / "train.csv")][1].parent, "table"),
        (lambda root: file(root / "train.csv").parent, "table"),
        (lambda root: file(root / "a.TSV"), "table"),
        (lambda root: file(root / "a.jsonl"), "table"),
        (lambda root: file(root / "dataset_dict.json").parent, "hub"),
        (lambda root: Path("owner/name"), "hub"),
        (lambda root: file(root / "a.parquet"), "table"),
        (lambda root: file(root / "a.xlsx"), None),
    ],
)
def test_one_reader_for_each_thing(tmp_path: Path, make, expected: str | None) -> None:  # type: ignore[no-untyped-def]
    data = str(make(tmp_path / "data"))
    able = [name for name in READERS.names() if READERS.load(name).can_read(data)]
    assert able == ([expected] if expected else [])


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\na,b\n")
    return path


def test_what_no_reader_takes_is_told_with_all_kinds(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(str(file(tmp_path / "a.xlsx")), seed=0)
    assert "is nothing edgeft reads" in caught.value.what
    for name in READERS.names():
        assert READERS.load(name).takes in caught.value.next_step


class Lines:
    takes = "a text file with one word a line"

    def can_read(self, data: str) -> bool:
        return data.endswith(".words")

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        words = Path(data).read_text().split()
        return Found("text", {ALL: [Row(f"{i}", w, str(len(w)), f"{i:064d}") for i, w in enumerate(words)]})


LINES = Lines()


def test_another_kind_is_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"lines": "tests.data.test_read:LINES", "table": "edgeft.data.tables:READER"}
    monkeypatch.setattr(read, "READERS", Registry("data reader", table))
    (tmp_path / "a.words").write_text("one two six three seven eight " * 5)
    data = read_dataset(str(tmp_path / "a.words"), seed=0)
    assert data.labels == ("3", "5")
    assert {split: len(examples) for split, examples in data.splits.items()} == {
        "train": 22,
        "validation": 4,
        "test": 4,
    }
