from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeft.data.read import read_dataset
from edgeft.errors import DataError, MachineError
from tests.data.pictures import class_folders


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = pytest.importorskip("datasets", reason="the package datasets is not installed")
    monkeypatch.setattr(module.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    module.disable_progress_bars()
    yield module


def save_texts(datasets: Any, folder: Path, splits: dict[str, tuple[list[str], list[int]]]) -> Path:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    tables = {
        split: datasets.Dataset.from_dict({"text": texts, "label": labels}, features=features)
        for split, (texts, labels) in splits.items()
    }
    datasets.DatasetDict(tables).save_to_disk(str(folder))
    return folder


def test_texts_with_class_names(datasets: Any, tmp_path: Path) -> None:
    folder = save_texts(
        datasets,
        tmp_path / "saved",
        {
            "train": (["good", "bad", "fine"], [1, 0, 1]),
            "dev": (["nice", "ugly"], [1, 0]),
            "test": (["great", "awful"], [1, 0]),
        },
    )
    data = read_dataset(str(folder), seed=0)
    assert data.labels == ("neg", "pos")
    assert [(e.id, e.content, e.label) for e in data.splits["train"]] == [
        ("train:0", "good", 1),
        ("train:1", "bad", 0),
        ("train:2", "fine", 1),
    ]
    assert [e.id for e in data.splits["validation"]] == ["validation:0", "validation:1"]


def test_split_without_labels_is_left_out_and_said(datasets: Any, tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(20)]
    folder = save_texts(
        datasets,
        tmp_path / "saved",
        {"train": (texts, [0, 1] * 10), "test": (["x", "y"], [-1, -1]), "extra": (["z"], [0])},
    )
    data = read_dataset(str(folder), seed=0)
    assert {split: len(examples) for split, examples in data.splits.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    assert any("split test has no labels and is left out" in line for line in data.notices)
    assert any("not used: extra" in line for line in data.notices)


def test_images_byte_for_byte(datasets: Any, tmp_path: Path) -> None:
    images = class_folders(tmp_path / "images", {"cat": 10, "dog": 10})
    loaded = datasets.load_dataset("imagefolder", data_dir=str(images), cache_dir=str(tmp_path / "cache"))
    loaded.save_to_disk(str(tmp_path / "saved"))
    data = read_dataset(str(tmp_path / "saved"), seed=0)
    assert data.content == "image"
    assert data.labels == ("cat", "dog")
    found = sorted(e.content.read_bytes() for examples in data.splits.values() for e in examples)  # type: ignore[union-attr]
    assert found == sorted(path.read_bytes() for path in images.rglob("*.jpg"))


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        MachineError, match="owner/things is no file or folder here.*module datasets.*pip install datasets"
    ):
        read_dataset("owner/things", seed=0)


def test_what_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def load_dataset(name: str, configuration: str | None) -> None:
            raise ConnectionError(f"cannot\nreach {name} {configuration}")

    monkeypatch.setitem(sys.modules, "datasets", Broken)
    with pytest.raises(DataError, match="cannot be loaded: cannot reach owner/things plain"):
        read_dataset("owner/things:plain", seed=0)


@pytest.mark.parametrize("name", ["nowhere.csv", "./nowhere", "/nowhere/at/all", "a/b/c"])
def test_paths_are_no_dataset_ids(name: str) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_dataset(name, seed=0)


def test_a_single_dataset_is_split_and_keeps_its_groups_together(datasets: Any, tmp_path: Path) -> None:
    rows = {"text": [f"text {i}" for i in range(40)], "label": ["a", "b"] * 20, "who": [i // 4 for i in range(40)]}
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    data = read_dataset(str(tmp_path / "saved"), seed=0, group_column="who")
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 32, "validation": 4, "test": 4}
    assert len({(e.group, split) for split, found in data.splits.items() for e in found}) == 10
