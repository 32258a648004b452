"""Folders and tables of sounds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the package soundfile is not installed")

from edgeft.data.read import read_dataset
from edgeft.data.sounds import longest_s
from edgeft.data.splits_record import folder_of, read_split, write_splits
from edgeft.errors import DataError
from tests.data.pictures import save as save_picture
from tests.data.recordings import class_folders, save, wave

SPLITS = {f"{split}/{label}": 2 for split in ("train", "validation", "test") for label in ("high", "low")}
DIGITS = Path(os.environ.get("EDGEFT_SPOKEN_DIGITS", "spoken-digits"))


def test_class_folders_of_sounds(tmp_path: Path) -> None:
    data = read_dataset(str(class_folders(tmp_path, SPLITS)), seed=0)
    assert (data.content, data.target, data.labels) == ("audio", "label", ("high", "low"))
    assert [example.id for example in data.splits["test"]] == [
        "test/high/000.wav", "test/high/001.wav", "test/low/000.wav", "test/low/001.wav",
    ]  # fmt: skip
    assert data.notices == (
        "12 sounds of 2 classes: train 4, validation 4, test 4",
        "sounds of 0.20 to 0.22 s, half of them up to 0.22, at 8000 Hz (12)",
    )
    assert data.checks["sounds"]["rates_hz"] == {"8000": 12}
    assert longest_s(data) == pytest.approx(0.22)


def test_splits_are_made_where_there_are_none(tmp_path: Path) -> None:
    data = read_dataset(str(class_folders(tmp_path, {"high": 10, "low": 10})), seed=0)
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [16, 2, 2]


def test_strange_sounds_are_counted(tmp_path: Path) -> None:
    class_folders(tmp_path, SPLITS)
    save(tmp_path / "train/low/stereo.wav", np.stack([wave(), wave()], axis=1))
    save(tmp_path / "train/low/silent.flac", np.zeros(800))
    save(tmp_path / "train/low/loud.wav", 4 * wave(), subtype="FLOAT")
    notices = read_dataset(str(tmp_path), seed=0).notices
    assert "1 sounds have several channels, and their mean is used" in notices
    assert "1 sounds are silent from beginning to end" in notices
    assert "1 sounds go beyond 1, as floating point may, and are used as they are" in notices
    assert any("8000 Hz (12), 16000 Hz (3)" in line for line in notices)


def test_unreadable_sounds_stop_the_run_in_one_line(tmp_path: Path) -> None:
    class_folders(tmp_path, SPLITS)
    (tmp_path / "train/low/bad.wav").write_bytes(b"junk")
    save(tmp_path / "train/low/empty.wav", np.zeros(0))
    with pytest.raises(DataError) as caught:
        read_dataset(str(tmp_path), seed=0)
    assert caught.value.what == (
        f"2 of 14 sounds in {tmp_path} cannot be used: train/low/bad.wav (no sound), train/low/empty.wav (a sound "
        "without a single sample)"
    )


def test_pictures_beside_the_music_are_left_out(tmp_path: Path) -> None:
    class_folders(tmp_path, SPLITS)
    save_picture(tmp_path / "train/low/cover.jpg")
    data = read_dataset(str(tmp_path), seed=0)
    assert data.content == "audio"
    assert "1 files that are no sounds left out: .jpg (1)" in data.notices


def test_a_class_without_sounds_is_named(tmp_path: Path) -> None:
    class_folders(tmp_path, SPLITS)
    (tmp_path / "train/none").mkdir()
    with pytest.raises(DataError, match="the class folder .*none holds no sounds"):
        read_dataset(str(tmp_path), seed=0)


def _table(root: Path, name: str = "clips.csv", header: str = "file_name,label,person") -> Path:
    class_folders(root / "clips", {"high": 6, "low": 6})
    rows = [f"clips/{label}/{n:03}.wav,{label},p{n % 3}" for label in ("high", "low") for n in range(6)]
    (root / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return root / name


def test_a_table_names_sound_files_beside_it(tmp_path: Path) -> None:
    data = read_dataset(str(_table(tmp_path)), seed=0, group_column="person", slice_column="person")
    examples = [example for split in data.splits.values() for example in split]
    assert data.content == "audio" and data.labels == ("high", "low") and len(examples) == 12
    first = min(examples, key=lambda example: example.id)
    assert (first.id, first.content, first.group) == ("clips/high/000.wav", tmp_path / "clips/high/000.wav", "p0")
    assert {example.slice for example in examples} == {"p0", "p1", "p2"}


def test_a_column_of_another_name_can_be_chosen(tmp_path: Path) -> None:
    table = _table(tmp_path, header="recording,label,person")
    assert read_dataset(str(table), seed=0, text_column="recording").content == "audio"


def test_tables_for_each_split_beside_their_files(tmp_path: Path) -> None:
    _table(tmp_path, "train.csv")
    (tmp_path / "test.csv").write_text("file_name,label\nmore/a.wav,high\nmore/b.wav,low\n", encoding="utf-8")
    save(tmp_path / "more/a.wav")
    save(tmp_path / "more/b.wav", wave(hertz=300))
    data = read_dataset(str(tmp_path), seed=0)
    assert data.content == "audio"
    assert [example.id for example in data.splits["test"]] == ["more/a.wav", "more/b.wav"]


def test_a_file_that_a_table_names_and_nobody_has(tmp_path: Path) -> None:
    table = _table(tmp_path)
    table.write_text(table.read_text(encoding="utf-8") + "clips/gone.wav,low,p1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 13 sounds .* clips/gone.wav \(No such file or directory\)"):
        read_dataset(str(table), seed=0)


def test_a_table_of_texts_stays_one(tmp_path: Path) -> None:
    rows = "".join(f"read {n}.wav aloud,{'yes' if n % 2 else 'no'}\n" for n in range(20))
    (tmp_path / "texts.csv").write_text("text,label\n" + rows, encoding="utf-8")
    assert read_dataset(str(tmp_path / "texts.csv"), seed=0).content == "text"


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the recordings are not on this machine")
def test_real_recordings() -> None:
    data = read_dataset(str(DIGITS), seed=0)
    assert data.labels == tuple("0123456789")
    assert sum(map(len, data.splits.values())) == 3000 and data.checks["sounds"]["rates_hz"] == {"8000": 3000}


def test_a_record_of_splits_finds_the_files_of_a_table_that_was_moved(tmp_path: Path) -> None:
    table = _table(tmp_path / "here")
    write_splits(tmp_path / "splits.jsonl", read_dataset(str(table), seed=0))
    assert str(tmp_path) not in (tmp_path / "splits.jsonl").read_text(encoding="utf-8")
    (tmp_path / "here").rename(tmp_path / "there")
    found = read_split(tmp_path / "splits.jsonl", "test", folder_of(str(tmp_path / "there/clips.csv")))
    assert found and all(example.content.parent.parent == tmp_path / "there/clips" for example in found)
