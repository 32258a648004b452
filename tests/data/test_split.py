from __future__ import annotations

import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest

from edgeft.data.assemble import assemble, fingerprint
from edgeft.data.found import ALL, Found, Row
from edgeft.data.read import read_dataset
from edgeft.data.split import held_out, stratified
from edgeft.errors import DataError
from tests.data.pictures import class_folders

PERCENTS = {"test": 10, "validation": 10}


def rows(counts: dict[str, int]) -> list[Row]:
    return [
        Row(f"{label}/{i}", f"{label} {i}", label, hashlib.sha256(f"{label}{i}".encode()).hexdigest())
        for label, n in counts.items()
        for i in range(n)
    ]


@pytest.mark.parametrize(("n", "expected"), [(3, 1), (4, 1), (14, 1), (15, 2), (25, 3), (95, 10), (1000, 100)])
def test_held_out_rounds_half_up_and_takes_at_least_one(n: int, expected: int) -> None:
    assert held_out(n, 10) == expected


def test_counts_of_each_class_in_each_split() -> None:
    splits = stratified(rows({"a": 95, "b": 25, "c": 3}), PERCENTS, seed=0)
    counts = {split: dict(Counter(row.label for row in members)) for split, members in splits.items()}
    assert counts == {
        "train": {"a": 75, "b": 19, "c": 1},
        "test": {"a": 10, "b": 3, "c": 1},
        "validation": {"a": 10, "b": 3, "c": 1},
    }


def test_every_example_is_in_one_split() -> None:
    given = rows({"a": 50, "b": 30})
    splits = stratified(given, PERCENTS, seed=0)
    assert sorted(row.id for members in splits.values() for row in members) == sorted(row.id for row in given)


def test_who_is_held_out_can_be_recomputed() -> None:
    given = rows({"a": 30, "b": 30})
    by_draw = sorted(
        (row for row in given if row.label == "a"), key=lambda row: hashlib.sha256(f"7:{row.sha256}".encode()).digest()
    )
    splits = stratified(given, PERCENTS, seed=7)
    taken = {split: {row.id for row in members if row.label == "a"} for split, members in splits.items()}
    assert taken["test"] == {row.id for row in by_draw[:3]}
    assert taken["validation"] == {row.id for row in by_draw[3:6]}


def test_same_seed_same_split_whatever_the_order() -> None:
    given = rows({"a": 40, "b": 40})
    shuffled = random.Random(1).sample(given, len(given))
    first, second = (stratified(order, PERCENTS, seed=3) for order in (given, shuffled))
    for split in first:
        assert {row.id for row in first[split]} == {row.id for row in second[split]}
    other = stratified(given, PERCENTS, seed=4)
    assert {row.id for row in other["test"]} != {row.id for row in first["test"]}


def test_class_too_small_to_split(tmp_path: Path) -> None:  # D24
    class_folders(tmp_path, {"a": 95, "b": 4, "c": 1})
    with pytest.raises(DataError, match=r"too small .*: 'c' has 1, and 3 are needed"):
        read_dataset(str(tmp_path), seed=0)


def test_small_classes_keep_one_example_in_each_split(tmp_path: Path) -> None:  # D24
    class_folders(tmp_path, {"a": 96, "b": 4})
    data = read_dataset(str(tmp_path), seed=0)
    counts = {s: dict(Counter(data.labels[e.label] for e in examples)) for s, examples in data.splits.items()}
    assert counts == {"train": {"a": 76, "b": 2}, "validation": {"a": 10, "b": 1}, "test": {"a": 10, "b": 1}}
    assert data.split_rule == "10 % of each class for test and for validation, seed 0"


def test_only_validation_missing() -> None:
    given = rows({"a": 20, "b": 20})
    test = [Row(f"test/{row.id}", "t", row.label, row.sha256[::-1]) for row in given[::5]]
    data = assemble(Found("text", {"train": given, "test": test}), "here", seed=0)
    assert {split: len(examples) for split, examples in data.splits.items()} == {
        "train": 36,
        "validation": 4,
        "test": 8,
    }
    assert data.split_rule == "test as given; 10 % of each class of train for validation, seed 0"
    assert any(line.startswith("no validation split given:") for line in data.notices)


def test_only_test_missing_is_said() -> None:
    given = rows({"a": 20, "b": 20})
    validation = [Row(f"v/{row.id}", "t", row.label, row.sha256[::-1]) for row in given[::5]]
    data = assemble(Found("text", {"train": given, "validation": validation}), "here", seed=0)
    assert len(data.splits["test"]) == 4
    assert len(data.splits["validation"]) == 8
    assert any(line.startswith("no test split given: validation as given; 10 % of each") for line in data.notices)


def test_no_training_split() -> None:
    with pytest.raises(DataError, match="has test and no training split"):
        assemble(Found("text", {"test": rows({"a": 2, "b": 2})}), "here", seed=0)


def test_same_id_twice() -> None:
    with pytest.raises(DataError, match="both called a/0"):
        assemble(Found("text", {ALL: [*rows({"a": 20, "b": 20}), *rows({"a": 1})]}), "here", seed=0)


def test_copies_of_one_content_stay_side_by_side() -> None:
    """All copies get one draw, so 10 copies among 100 examples meet at most two splits' borders."""
    given = rows({"a": 90, "b": 20}) + [Row(f"copy/{i}", "same", "a", "0" * 64) for i in range(10)]
    for seed in range(20):
        splits = stratified(given, PERCENTS, seed)
        with_copy = [s for s, members in splits.items() if any(row.id.startswith("copy/") for row in members)]
        assert len(with_copy) <= 2


def test_fingerprint_is_the_hash_of_its_lines() -> None:
    splits = {
        "train": [Row("b", "x", "cat", "01"), Row("a", "y", "dög", "02")],
        "validation": [Row("c", "z", "cat", "03")],
        "test": [Row("d", "w", "cat", "04")],
    }
    lines = '["train", "a", "dög", "02"]\n["train", "b", "cat", "01"]\n'
    lines += '["validation", "c", "cat", "03"]\n["test", "d", "cat", "04"]\n'
    assert fingerprint(splits) == hashlib.sha256(lines.encode()).hexdigest()


def test_fingerprint_changes_with_one_label_and_one_byte(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 5, "b": 5})
    before = read_dataset(str(tmp_path), seed=0)
    assert read_dataset(str(tmp_path), seed=0).fingerprint == before.fingerprint
    image = tmp_path / "a/000.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert read_dataset(str(tmp_path), seed=0).fingerprint != before.fingerprint
