"""Scores over whole entities: one is right when its type, its first and its last word are.

As conlleval (CoNLL-2000) counts and the package seqeval in its default mode, on IOB2 tags: an I- tag that goes on with
no entity of its type begins one. Micro average: precision, recall and F1 of the sums over all types.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data import tags
from edgeft.errors import DataError
from edgeft.tasks.classification import class_row
from edgeft.tasks.task import Scores

METRIC = "f1"


def score(
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    owners: NDArray[np.int64] | None = None,
) -> Scores:
    """Micro F1 over entities.

    predicted, labels   tag ids [words]; owners [words]: the sentence of each, all one sentence when None
    names               tag names in IOB2; `export` scores by numbers alone, and then each is a tag of its own
    counts              [sentences, 3]: entities found and right, entities found, entities there are
    per_class           n, recall, precision, f1 of every type that occurs or was found
    others              precision, recall, macro_f1 over the types, token_accuracy (share of words with the right tag)

    Raises DataError without words or when the lengths differ.
    """
    if len(labels) == 0 or len(predicted) != len(labels):
        raise DataError(f"{len(predicted)} tags cannot be scored against those of {len(labels)} words")
    if owners is None:
        owners = np.zeros(len(labels), np.int64)
    order = np.argsort(owners, kind="stable")  # samples in batches by length have parts of a sentence anywhere
    predicted, labels = predicted[order], labels[order]
    ends = np.flatnonzero(np.diff(owners[order])) + 1
    found = defaultdict[str, Counter[str]](Counter)
    rows = []
    for told, right in zip(np.split(predicted, ends), np.split(labels, ends), strict=True):
        ours, theirs = (set(tags.entities([names[i] for i in ids])) for ids in (told, right))
        for part, those in (("hits", ours & theirs), ("found", ours), ("n", theirs)):
            found[part].update(kind for kind, _, _ in those)
        rows.append((len(ours & theirs), len(ours), len(theirs), bool(np.array_equal(told, right))))
    counts = np.array([row[:3] for row in rows], np.int64)
    per_class = {
        kind: class_row(found["n"][kind], found["found"][kind], found["hits"][kind])
        for kind in sorted({*found["n"], *found["found"]})
    }
    hits, answered, there = (int(n) for n in counts.sum(axis=0))
    others = {
        "precision": hits / answered if answered else 0.0,
        "recall": hits / there if there else 0.0,
        "macro_f1": float(np.mean([row["f1"] for row in per_class.values()])) if per_class else 0.0,
        "token_accuracy": float((predicted == labels).mean()),
    }
    correct = np.array([row[3] for row in rows], bool)
    return Scores(METRIC, float(f1(counts.sum(axis=0))), len(rows), correct, per_class, others, counts)


def f1(counts: NDArray[Any]) -> NDArray[np.float64]:
    """2 right / (found + there) of sums [..., 3]; 0 where nothing was found and nothing is there."""
    counts = np.asarray(counts, np.float64)
    both = counts[..., 1] + counts[..., 2]
    found: NDArray[np.float64] = np.divide(2 * counts[..., 0], both, out=np.zeros_like(both), where=both > 0)
    return found
