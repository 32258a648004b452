"""Decoding and scoring of one label an example, for images and texts alike. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.dataset import Example
from edgeft.errors import DataError, ModelError
from edgeft.tasks.task import Scores, TensorSpec

METRIC = "accuracy"
OUTPUT = "logits"


def output_spec(n_labels: int) -> TensorSpec:
    return TensorSpec(OUTPUT, "float32", ("batch", n_labels), "logit")


def decode(output: NDArray[np.float32]) -> NDArray[np.int64]:
    """Logits [n, labels] -> index of the largest [n]; the first of equals.

    Raises ModelError when a logit is not a finite number: argmax would answer all the same.
    """
    finite = np.isfinite(output).all(axis=1)
    if not finite.all():
        raise ModelError(
            f"the model's answer is not a number for {int((~finite).sum())} of {len(output)} examples",
            "check the model and its inputs; half precision overflows beyond 65504",
        )
    best: NDArray[np.int64] = np.argmax(output, axis=1).astype(np.int64)
    return best


def score(predicted: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]) -> Scores:
    """Accuracy, and what shows that accuracy alone misleads.

    per_class         n, recall, precision, f1 of every label that was seen or predicted. A label without examples
                      (n = 0) has no recall. Precision of a label never predicted is 0, f1 = 2 tp / (2 tp + fp + fn).
    macro_f1          mean f1 over the labels seen or predicted (scikit-learn's default set)
    balanced_accuracy mean recall over the labels seen
    largest_class     share of the most frequent label: the accuracy of always answering it

    Raises DataError without examples or when the two lengths differ.
    """
    if len(labels) == 0 or len(predicted) != len(labels):
        raise DataError(f"{len(predicted)} predictions cannot be scored against {len(labels)} labels")
    n = len(names)
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    seen, answered, hits = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    per_class = {
        names[i]: class_row(int(seen[i]), int(answered[i]), int(hits[i])) for i in range(n) if seen[i] or answered[i]
    }
    correct = predicted == labels
    recalls = hits[seen > 0] / seen[seen > 0]
    others = {
        "macro_f1": float(np.mean([row["f1"] for row in per_class.values()])),
        "balanced_accuracy": float(recalls.mean()),
        "largest_class": float(seen.max() / len(labels)),
    }
    return Scores(METRIC, float(correct.mean()), len(labels), correct, per_class, others)


def class_row(seen: int, answered: int, hits: int) -> dict[str, float]:
    """n, recall (not of a class without examples), precision and f1 of a class that was seen or answered."""
    row: dict[str, float] = {"n": seen}
    if seen:
        row["recall"] = hits / seen
    row["precision"] = hits / answered if answered else 0.0
    row["f1"] = 2 * hits / (seen + answered)
    return row


class Classification:
    """What both classification tasks share; the task adds its names and its encoder."""

    metric = METRIC
    target = "label"
    output = OUTPUT

    def output_spec(self, n_labels: int) -> TensorSpec:
        return output_spec(n_labels)

    def decode(self, output: NDArray[np.float32]) -> NDArray[np.int64]:
        return decode(output)

    def queries(self, examples: Sequence[Example], encoder: Any) -> list[Example]:
        return list(examples)

    def score(
        self,
        predicted: NDArray[np.int64],
        labels: NDArray[np.int64],
        names: Sequence[str],
        owners: NDArray[np.int64] | None = None,
    ) -> Scores:
        return score(predicted, labels, names)

    def from_counts(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        raise NotImplementedError("accuracy is a mean over examples")
