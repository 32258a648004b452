"""confusion.png: the confusion matrix of the test split, of the float and of the quantized model side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import console, files
from edgeft.tuning.classes import Confusion

# More labels than this cannot be read in a picture; those with most errors are drawn.
_DRAWN = 30
# Up to so many the cells have room for their counts.
_NUMBERED = 16
_NAME_WIDTH = 20


def draw_confusion(matrices: Mapping[str, Confusion], labels: Sequence[str], picture: Path) -> bool:
    """Draw one panel for each of `matrices`, by title; without matplotlib one line says that there is no picture."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        console.say(f"{picture.name} is left out: matplotlib is not installed (pip install 'edgeft[report]')")
        return False
    dense = {title: _dense(found, labels) for title, found in matrices.items()}
    shown = most_confused(list(dense.values()), _DRAWN)
    side = 2.0 + 0.3 * len(shown)
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(side * len(dense) + 1.0, side), layout="constrained")
        axes = figure.subplots(1, len(dense), squeeze=False, sharey=True)[0]
        for axis, (title, counts) in zip(axes, dense.items(), strict=True):
            image = _panel(axis, title, counts, labels, shown)
        axes[0].set_ylabel("right label")
        figure.colorbar(image, ax=list(axes), label="share of the right label's examples", shrink=0.8)
        if len(shown) < len(labels):
            figure.suptitle(f"the {len(shown)} of {len(labels)} labels with most errors")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
    files.write_bytes(picture, buffer.getvalue())
    return True


def most_confused(matrices: Sequence[NDArray[np.int64]], most: int) -> list[int]:
    """Indices of the `most` labels with most errors in their rows and columns, in the order of the labels."""
    wrong = sum(m.sum(0) + m.sum(1) - 2 * m.diagonal() for m in matrices)
    return sorted(np.argsort(-np.asarray(wrong), kind="stable")[:most].tolist())


def _dense(found: Confusion, labels: Sequence[str]) -> NDArray[np.int64]:
    at = {name: index for index, name in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for right, row in found.items():
        for answer, n in row.items():
            counts[at[right], at[answer]] = n
    return counts


def _panel(axis: Any, title: str, counts: NDArray[np.int64], labels: Sequence[str], shown: Sequence[int]) -> Any:
    """Shares by row as colours; rows are right labels."""
    part = counts[np.ix_(shown, shown)]
    share = part / np.maximum(counts.sum(1)[list(shown), None], 1)
    image = axis.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [_short(labels[index]) for index in shown]
    axis.set_xticks(range(len(shown)), names, rotation=90)
    axis.set_yticks(range(len(shown)), names)
    axis.set_xlabel("answer")
    axis.set_title(title)
    if len(shown) <= _NUMBERED:
        for row, column in zip(*np.nonzero(part), strict=True):
            colour = "white" if share[row, column] > 0.6 else "black"
            axis.text(column, row, str(part[row, column]), ha="center", va="center", color=colour)
    return image


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…"
