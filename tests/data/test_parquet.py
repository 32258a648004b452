from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeft.data.columns import Columns
from edgeft.data.read import read_dataset
from edgeft.data.tables import read_table, table_rows
from edgeft.errors import DataError, MachineError


def write(path: Path, columns: dict[str, list[Any]], metadata: dict[str, Any] | None = None) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(columns)
    if metadata:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    parquet.write_table(table, path)
    return path


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(str(row.content), row.label) for row in table_rows(read_table(path), Columns())]


def test_numbers_are_labels_as_they_are_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["x", "y", "z"], "label": [2, 10, 2]})
    assert pairs(path) == [("x", "2"), ("y", "10"), ("z", "2")]
    path = write(tmp_path / "b.parquet", {"text": ["x", "y"], "label": [True, False]})
    assert pairs(path) == [("x", "true"), ("y", "false")]


def test_class_names_that_datasets_noted_are_used(tmp_path: Path) -> None:
    features = {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    path = write(tmp_path / "a.parquet", {"text": ["x", "y"], "label": [1, 0]}, {"info": {"features": features}})
    assert pairs(path) == [("x", "pos"), ("y", "neg")]


def test_a_table_is_split_like_any_other(tmp_path: Path) -> None:
    columns = {"text": [f"t {i}" for i in range(40)], "label": ["a", "b"] * 20}
    data = read_dataset(str(write(tmp_path / "all.parquet", columns)), seed=0)
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 32, "validation": 4, "test": 4}


def test_gaps_and_lists_are_named_by_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"text": ["x", None, "z"], "label": ["a", "b", None]})
    with pytest.raises(DataError, match="line 2 has no text, line 3 has no label"):
        pairs(path)
    with pytest.raises(DataError, match="line 1 has a list or an object"):
        pairs(write(tmp_path / "b.parquet", {"text": [["x"], ["y"]], "label": ["a", "b"]}))


def test_what_is_no_parquet_and_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="the package pyarrow is not installed")
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError, match="a.parquet is no Parquet table"):
        read_table(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MachineError, match=r"needs the package pyarrow; pip install 'edgeft\[parquet\]'"):
        read_table(tmp_path / "a.parquet")
