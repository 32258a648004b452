"""--slice-column: from tables and from a table beside images into examples, records and bundles."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeft.data.read import read_dataset
from edgeft.data.splits_record import read_split, write_splits
from edgeft.errors import DataError
from edgeft.tasks.eval_examples import read_examples, write_examples
from tests.data.pictures import class_folders


def test_a_table_gives_slices_and_they_reach_record_and_bundle(tmp_path: Path) -> None:
    lines = [f"text {i} of {label},{label},{'north' if i % 2 else ' south '}" for label in "ab" for i in range(20)]
    (tmp_path / "all.csv").write_text("\n".join(["text,label,site", *lines, "no site at all,a,"]) + "\n")
    data = read_dataset(str(tmp_path / "all.csv"), seed=0, slice_column="site")
    assert {example.slice for split in data.splits.values() for example in split} == {"north", "south", ""}
    assert data.fingerprint == read_dataset(str(tmp_path / "all.csv"), seed=0).fingerprint
    write_splits(tmp_path / "splits.jsonl", data)
    test = read_split(tmp_path / "splits.jsonl", "test", tmp_path)
    assert [example.slice for example in test] == [example.slice for example in data.splits["test"]]
    write_examples(tmp_path / "bundle", test, data.labels)
    assert [one.slice for one in read_examples(tmp_path / "bundle", data.labels)] == [one.slice for one in test]


def test_images_take_their_slices_from_a_table_beside_them(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 12, "dog": 12})
    named = sorted((tmp_path / "cat").iterdir())
    lines = [f"cat/{file.name},day" for file in named[:6]]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,light", *lines]) + "\n")
    data = read_dataset(str(tmp_path), seed=0, slice_column="light")
    found = {example.id: example.slice for split in data.splits.values() for example in split}
    assert found[f"cat/{named[0].name}"] == "day" and found[f"cat/{named[7].name}"] == ""
    with pytest.raises(DataError, match="no table beside the images .* has the columns file_name and wether"):
        read_dataset(str(tmp_path), seed=0, slice_column="wether")


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("text,label,site\nx,a,n\n")
    with pytest.raises(DataError, match="has no column 'sites'.*did you mean 'site'"):
        read_dataset(str(tmp_path / "all.csv"), seed=0, slice_column="sites")
