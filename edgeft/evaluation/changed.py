"""The samples whose answer changed, as a person wants to see them: changed.json beside a result."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.dataset import Example
from edgeft.data.imagefile import decode, pillow
from edgeft.data.words import Words
from edgeft.errors import EdgeftError
from edgeft.evaluation.accuracy import Answers

SCHEMA = "edgeft-changed/1"
# Samples shown in all, shared by the variants, and the longer side of a thumbnail in pixels (about 3 KB each).
SHOWN, SIDE = 24, 112
_TEXT = 240


def changed(
    baseline: str,
    predicted: Mapping[str, NDArray[np.int64]],
    answers: Answers,
    examples: Sequence[Example],
    labels: Sequence[str],
) -> dict[str, Any]:
    """The document: by variant, how many samples are answered otherwise, and those whose right answers lost most.

    predicted   variant -> answered label [answers], as those of `answers`
    score       softmax of the right label, 0..1; of a sentence the mean over its words
    """
    others = [name for name in answers.logits if name != baseline]
    right = {name: score_of_right(logits, answers.labels) for name, logits in answers.logits.items()}
    starts = np.flatnonzero(np.diff(answers.positions, prepend=-1))
    variants = {}
    for name in others:
        moved = np.add.reduceat((predicted[name] != predicted[baseline]).astype(np.int64), starts)
        lost = np.add.reduceat(right[baseline] - right[name], starts)
        queries = np.flatnonzero(moved)
        worst = queries[np.argsort(-lost[queries], kind="stable")][: SHOWN // max(len(others), 1)]
        ends = np.append(starts[1:], len(answers.positions))
        shown = []
        for query in worst:
            rows = slice(int(starts[query]), int(ends[query]))
            position = int(answers.positions[rows.start])
            before, after = (predicted[each][rows] for each in (baseline, name))
            shown.append(_one(examples[position], labels, before, after) | {
                "position": position,
                "score_before": round(float(right[baseline][rows].mean()), 6),
                "score_after": round(float(right[name][rows].mean()), 6),
            })  # fmt: skip
        variants[name] = {"n": len(queries), "samples": shown}
    return {"schema": SCHEMA, "baseline": baseline, "variants": variants}


def score_of_right(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Softmax of the right label of each sample, [n]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = shifted[np.arange(len(labels)), labels] / shifted.sum(axis=1)
    return found


def _one(
    example: Example, labels: Sequence[str], before: NDArray[np.int64], after: NDArray[np.int64]
) -> dict[str, Any]:
    """An example with its right label and both answers; of a sentence the words that are asked for, each with its."""
    if isinstance(example.content, Words):
        words = [example.content.words[at] for at in example.content.asked]
        given = {"tags": example.label, "before": before, "after": after}
        return {"id": example.id, "tokens": words, **{key: [labels[i] for i in ids] for key, ids in given.items()}}
    found: dict[str, Any] = {
        "id": example.id, "label": labels[example.label], "before": labels[before[0]], "after": labels[after[0]],
    }  # fmt: skip
    if isinstance(example.content, str):
        text = " ".join(example.content.split())
        return {**found, "text": text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"}
    picture = thumbnail(example.content)
    return {**found, "picture": picture} if picture else found


def thumbnail(path: Path) -> str | None:
    """A JPEG of at most SIDE pixels as a data URI; None when the picture cannot be read any more."""
    try:
        picture = decode(path.read_bytes(), path.name)
    except (OSError, EdgeftError):
        return None
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE), pillow().Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
