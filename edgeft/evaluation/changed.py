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
    """The document: by variant, how many answers changed, and those whose right answer lost most.

    predicted   variant -> answered label [n], on the samples of `answers`
    score       softmax of the right label, 0..1
    """
    others = [name for name in answers.logits if name != baseline]
    right = {name: score_of_right(logits, answers.labels) for name, logits in answers.logits.items()}
    variants = {}
    for name in others:
        rows = np.flatnonzero(predicted[name] != predicted[baseline])
        worst = rows[np.argsort(right[name][rows] - right[baseline][rows], kind="stable")]
        shown = [
            _one(examples[int(answers.positions[row])], labels) | {
                "position": int(answers.positions[row]),
                "before": labels[predicted[baseline][row]], "after": labels[predicted[name][row]],
                "score_before": round(float(right[baseline][row]), 6), "score_after": round(float(right[name][row]), 6),
            }
            for row in worst[: SHOWN // max(len(others), 1)]
        ]  # fmt: skip
        variants[name] = {"n": len(rows), "samples": shown}
    return {"schema": SCHEMA, "baseline": baseline, "variants": variants}


def score_of_right(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Softmax of the right label of each sample, [n]."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = shifted[np.arange(len(labels)), labels] / shifted.sum(axis=1)
    return found


def _one(example: Example, labels: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": example.id, "label": labels[example.label]}
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
