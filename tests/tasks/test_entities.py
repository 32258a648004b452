from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeft.errors import DataError
from edgeft.tasks.entities import f1, score
from tests.tasks.random_tags import random_tags

NAMES = ("O", "B-a", "I-a", "B-bc", "I-bc", "B-d", "I-d")
PEER = [json.loads(line) for line in (Path(__file__).parent / "seqeval_answers.jsonl").read_text().splitlines()]


def ids(sentences: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Tag ids and the sentence of each word."""
    flat = [NAMES.index(tag) for sentence in sentences for tag in sentence]
    return np.array(flat), np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])


@pytest.mark.parametrize("row", PEER, ids=lambda row: str(row["seed"]))
def test_as_seqeval_counts(row: dict) -> None:
    right, predicted = random_tags(row["seed"])
    labels, owners = ids(right)
    found = score(ids(predicted)[0], labels, NAMES, owners)
    assert found.value == pytest.approx(row["f1"], abs=1e-8)
    for name in ("precision", "recall", "token_accuracy"):
        assert found.others[name] == pytest.approx(row[name], abs=1e-8)
    assert set(found.per_class) == set(row["types"])
    for kind, theirs in row["types"].items():
        ours = found.per_class[kind]
        assert {key: ours.get(key, 0.0) for key in theirs} == pytest.approx(theirs, abs=1e-8)


def test_by_hand() -> None:
    right = [["B-a", "I-a", "O"], ["O", "B-d"], ["O"]]
    told = [["B-a", "O", "O"], ["B-a", "B-d"], ["O"]]  # one too short, one too many, one right
    labels, owners = ids(right)
    found = score(ids(told)[0], labels, NAMES, owners)
    assert found.counts is not None and found.counts.tolist() == [[0, 1, 1], [1, 2, 1], [0, 0, 0]]
    assert found.value == pytest.approx(2 * 1 / (3 + 2))
    assert (found.others["precision"], found.others["recall"]) == (1 / 3, 1 / 2)
    assert found.others["token_accuracy"] == 4 / 6
    assert found.correct.tolist() == [False, False, True] and found.n == 3
    assert found.per_class["d"] == {"n": 1, "recall": 1.0, "precision": 1.0, "f1": 1.0}
    assert found.others["macro_f1"] == 0.5  # a: 0, d: 1


def test_an_entity_ends_with_its_sentence() -> None:
    told = np.array([1, 2, 2])  # B-a I-a | I-a
    assert score(told, told, NAMES, np.array([0, 0, 1])).per_class["a"]["n"] == 2
    assert score(told, told, NAMES, np.array([0, 0, 0])).per_class["a"]["n"] == 1


def test_parts_of_a_sentence_may_come_in_any_order() -> None:
    told = np.array([1, 3, 2])  # B-a | B-bc | I-a, the third of the sentence of the first
    found = score(told, told, NAMES, np.array([0, 1, 0]))
    assert found.per_class["a"]["n"] == 1 and found.n == 2


def test_f1_of_sums() -> None:
    assert f1(np.array([[1, 2, 2], [0, 0, 0]])).tolist() == [0.5, 0.0]


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="2 tags cannot be scored against those of 1 words"):
        score(np.array([0, 0]), np.array([0]), NAMES)
