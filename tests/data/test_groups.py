"""--group-column: no group in two splits, classes in the shares they have, and who is where can be recomputed."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from edgeft.data.found import Row
from edgeft.data.read import read_dataset
from edgeft.data.split import grouped
from edgeft.data.splits_record import write_splits
from edgeft.errors import DataError
from tests.data.pictures import class_folders

PERCENTS = {"test": 10, "validation": 10}


def people(n: int, each: int, labels: str = "ab") -> list[Row]:
    """`n` people with `each` examples of every label."""
    return [
        Row(f"{person}/{label}/{i}", "x", label, "", f"p{person}")
        for person in range(n) for label in labels for i in range(each)
    ]  # fmt: skip


def test_no_group_is_in_two_splits_and_shares_are_kept() -> None:
    splits = grouped(people(20, 5), PERCENTS, seed=0)
    groups = {split: {row.group for row in rows} for split, rows in splits.items()}
    assert {split: len(found) for split, found in groups.items()} == {"train": 16, "test": 2, "validation": 2}
    assert not groups["train"] & groups["test"] and not groups["validation"] & (groups["train"] | groups["test"])
    assert Counter(row.label for row in splits["test"]) == {"a": 10, "b": 10}


def test_a_large_group_goes_to_train_and_a_rare_class_to_every_split() -> None:
    rows = [Row(f"big/{i}", "x", "a", "", "big") for i in range(60)]
    rows += [Row(f"s{g}/{i}", "x", "a", "", f"s{g}") for g in range(20) for i in range(2)]
    rows += [Row(f"rare/{g}", "x", "c", "", f"r{g}") for g in range(3)]
    splits = grouped(rows, PERCENTS, seed=1)
    assert {row.group for row in splits["train"]} >= {"big"}
    counts = {split: Counter(row.label for row in found) for split, found in splits.items()}
    assert counts == {"train": {"a": 80, "c": 1}, "test": {"a": 10, "c": 1}, "validation": {"a": 10, "c": 1}}


def test_the_same_seed_whatever_the_order_and_another_seed_another_split() -> None:
    rows = people(30, 2)
    mixed = random.Random(3).sample(rows, len(rows))
    test = [{row.group for row in grouped(given, PERCENTS, seed)["test"]} for given, seed in
            ((rows, 0), (mixed, 0), (rows, 1))]  # fmt: skip
    assert test[0] == test[1] != test[2]


def test_a_class_of_two_groups_cannot_be_in_three_splits() -> None:
    rows = people(10, 2) + [Row(f"c{i}", "x", "c", "", f"p{i}") for i in range(2)]
    with pytest.raises(DataError, match="the examples of 'c' are in 2 groups"):
        grouped(rows, PERCENTS, seed=0)


def table(path: Path, n: int = 12) -> Path:
    lines = [f"{who} says {label} {i},{label},{who}" for who in range(n) for label in "ab" for i in range(3)]
    path.write_text("\n".join(["text,label,speaker", *lines]) + "\n")
    return path


def test_a_table_is_split_by_its_column_and_the_record_has_the_groups(tmp_path: Path) -> None:
    data = read_dataset(str(table(tmp_path / "all.csv")), seed=0, group_column="speaker")
    assert data.split_rule == "in whole groups, near 10 % of each class for test and for validation, seed 0"
    write_splits(tmp_path / "splits.jsonl", data)
    rows = [json.loads(line) for line in (tmp_path / "splits.jsonl").read_text().splitlines()]
    places = {(row["group"], row["split"]) for row in rows}
    assert len(rows) == 72 and len(places) == 12 and len({group for group, _ in places}) == 12
    assert all(row["text"].split()[0] == row["group"] for row in rows)


@pytest.mark.parametrize(("column", "said"), [("speakers", "did you mean 'speaker'"), ("label", "one|groups")])
def test_a_column_that_does_not_help_is_named(tmp_path: Path, column: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_dataset(str(table(tmp_path / "all.csv")), seed=0, group_column=column)


def test_a_row_without_a_group_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "all.csv")
    path.write_text(path.read_text() + "no one,a,\n")
    with pytest.raises(DataError, match="line 74 has no speaker"):
        read_dataset(str(path), seed=0, group_column="speaker")


def test_given_splits_that_share_a_group_are_refused(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        table(tmp_path / f"{name}.csv", n=2)
    with pytest.raises(DataError, match="the group '0' of .* is in .* and in .*leave --group-column out"):
        read_dataset(str(tmp_path), seed=0, group_column="speaker")


def test_images_take_their_groups_from_a_table_beside_them(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 12, "dog": 12})
    lines = [f"{label}/{i:03d}.jpg,{i // 2}" for label in ("cat", "dog") for i in range(12)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,camera", *lines]) + "\n")
    data = read_dataset(str(tmp_path), seed=0, group_column="camera")
    places = {(e.group, split) for split, examples in data.splits.items() for e in examples}
    assert len(places) == 6 == len({group for group, _ in places})
    with pytest.raises(DataError, match="no table beside the images of .* has the columns file_name and person"):
        read_dataset(str(tmp_path), seed=0, group_column="person")
