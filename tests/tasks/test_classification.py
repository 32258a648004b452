from __future__ import annotations

import numpy as np
import pytest

from edgeft.errors import DataError, ModelError, UsageError
from edgeft.tasks import TASKS
from edgeft.tasks.task import Task, TensorSpec

NAMES = ("cat", "dog", "fox")


@pytest.fixture(params=["image-classification", "text-classification"])
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = TASKS.load(request.param)
    assert found.name == request.param
    return found


def score(labels: list[int], predicted: list[int], names: tuple[str, ...] = NAMES):  # type: ignore[no-untyped-def]
    return TASKS.load("image-classification").score(np.array(predicted), np.array(labels), names)


def test_facts_of_the_tasks() -> None:
    image, text = TASKS.load("image-classification"), TASKS.load("text-classification")
    assert (image.content, image.auto_model) == ("image", "AutoModelForImageClassification")
    assert (text.content, text.auto_model) == ("text", "AutoModelForSequenceClassification")
    assert image.metric == text.metric == "accuracy"
    assert image.output == text.output == "logits"


def test_unknown_task() -> None:
    with pytest.raises(UsageError, match="did you mean 'image-classification'"):
        TASKS.load("image-clasification")


def test_output(task: Task) -> None:
    assert task.output_spec(7) == TensorSpec("logits", "float32", ("batch", 7), "logit")


def test_decode_takes_the_largest_logit(task: Task) -> None:
    found = task.decode(np.array([[0.1, 3.0, -2.0], [5.0, 5.0, 1.0]], np.float32))
    assert found.tolist() == [1, 0]
    assert found.dtype == np.int64


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_decode_refuses_what_is_no_number(task: Task, bad: float) -> None:
    with pytest.raises(ModelError, match="not a number for 1 of 2 examples"):
        task.decode(np.array([[0.1, bad], [1.0, 2.0]], np.float32))


def test_scores_by_hand() -> None:
    # cat: 3 examples, 2 right; dog: 2 examples, 1 right; fox: 1 example, 1 right; dog answered twice, fox twice.
    found = score([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2])
    assert (found.metric, found.value, found.n) == ("accuracy", 4 / 6, 6)
    assert found.correct.tolist() == [True, True, False, True, False, True]
    assert found.per_class == {
        "cat": {"n": 3, "recall": 2 / 3, "precision": 1.0, "f1": 4 / 5},
        "dog": {"n": 2, "recall": 1 / 2, "precision": 1 / 2, "f1": 2 / 4},
        "fox": {"n": 1, "recall": 1.0, "precision": 1 / 2, "f1": 2 / 3},
    }
    assert found.others["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert found.others["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.others["largest_class"] == 3 / 6


def test_always_answering_the_largest_class() -> None:  # D24
    found = score([0] * 95 + [1] * 4 + [2], [0] * 100)
    assert found.value == found.others["largest_class"] == 0.95
    assert found.others["balanced_accuracy"] == pytest.approx(1 / 3)
    assert found.others["macro_f1"] == pytest.approx((2 * 95 / 195) / 3)
    assert found.per_class["fox"] == {"n": 1, "recall": 0.0, "precision": 0.0, "f1": 0.0}


def test_class_without_examples_has_no_recall() -> None:
    found = score([0, 0], [0, 2])
    assert found.per_class["fox"] == {"n": 0, "precision": 0.0, "f1": 0.0}
    assert "dog" not in found.per_class
    assert found.others["balanced_accuracy"] == 0.5


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="0 predictions"):
        score([], [])
    with pytest.raises(DataError, match="1 predictions cannot be scored against 2 labels"):
        score([0, 1], [0])


def test_same_as_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 4, 300), random.integers(0, 5, 300)
    found = TASKS.load("text-classification").score(predicted, labels, tuple("abcde"))
    assert found.others["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert found.others["balanced_accuracy"] == pytest.approx(
        metrics.recall_score(labels, predicted, average="macro", labels=[0, 1, 2, 3])
    )
