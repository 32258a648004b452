"""What the answers moved between: the confusion matrix of a variant minus that of the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A matrix of more labels than this cannot be taken in; those whose rows and columns moved most are kept.
LABELS = 12


@dataclass(frozen=True)
class Change:
    """labels [k] shown, counts [k, k] new minus baseline (row: right label, column: answer), moved answers in all."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    moved: int
    left_out: int


def change(samples: Mapping[str, NDArray[Any]], baseline: str, name: str, labels: Sequence[str]) -> Change | None:
    """None when no answer changed, or the result holds no answers."""
    if not {"labels", f"{baseline}/predicted", f"{name}/predicted"} <= set(samples):
        return None
    right, n = samples["labels"], len(labels)
    counts = _matrix(right, samples[f"{name}/predicted"], n) - _matrix(right, samples[f"{baseline}/predicted"], n)
    weight = np.abs(counts).sum(axis=0) + np.abs(counts).sum(axis=1)
    if not weight.any():
        return None
    touched = np.flatnonzero(weight)
    kept = np.sort(touched[np.argsort(-weight[touched], kind="stable")][:LABELS])
    moved = int(np.sum(samples[f"{name}/predicted"] != samples[f"{baseline}/predicted"]))
    return Change(tuple(labels[i] for i in kept), counts[np.ix_(kept, kept)], moved, len(touched) - len(kept))


def _matrix(right: NDArray[np.int64], answered: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (right, answered), 1)
    return counts


def largest(one: Change, most: int = 10) -> list[tuple[str, str, int]]:
    """(right label, answer, change of its count), the largest changes first."""
    moved = zip(*np.nonzero(one.counts), strict=True)
    cells = [(one.labels[i], one.labels[j], int(one.counts[i, j])) for i, j in moved]
    return sorted(cells, key=lambda cell: -abs(cell[2]))[:most]
