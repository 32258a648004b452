"""Which classes a tuned model gets wrong, and for what it takes them: figures for tuned.json, lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.tasks.task import Scores

# Right label -> answer -> how many; cells that are 0 are left out.
Confusion = dict[str, dict[str, int]]
_WORST, _MOST = 5, 5
_NAME_WIDTH = 30


def class_figures(
    scores: Scores, predicted: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Any]:
    """{"macro_f1", …: what `scores` has beside the metric, "per_class": its figures, "confusion"}, shares rounded to
    four digits; `predicted` and `labels` are [n]."""
    per_class = {
        name: {key: value if key == "n" else round(value, 4) for key, value in row.items()}
        for name, row in scores.per_class.items()
    }
    others = {name: round(value, 4) for name, value in scores.others.items()}
    return {**others, "per_class": per_class, "confusion": confusion(predicted, labels, names)}


def confusion(predicted: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]) -> Confusion:
    """The confusion matrix of answers [n] to right labels [n], without its zeros."""
    pairs, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    found: Confusion = {}
    for right, answer, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        found.setdefault(names[right], {})[names[answer]] = count
    return found


def class_errors(title: str, figures: Mapping[str, Any]) -> list[str]:
    """The worst classes by F1 and the most frequent confusions, at most 80 columns wide; one line when none is wrong.

    figures   of `class_figures`
    """
    macro = f", macro-F1 {figures['macro_f1']:.4f}" if "macro_f1" in figures else ""
    worst = [(name, row) for name, row in figures["per_class"].items() if row["f1"] < 1]
    worst = sorted(worst, key=lambda pair: pair[1]["f1"])[:_WORST]
    if not worst:
        return [f"{title}{macro}: no class has an error"]
    width = max(len("worst classes"), *(len(_short(name)) for name, _ in worst))
    lines = [f"{title}{macro}", f"  {'worst classes':<{width}}{'n':>7}{'precision':>11}{'recall':>9}{'F1':>9}"]
    for name, row in worst:
        recall = f"{row['recall']:.4f}" if "recall" in row else "-"
        lines.append(f"  {_short(name):<{width}}{row['n']:>7,}{row['precision']:>11.4f}{recall:>9}{row['f1']:>9.4f}")
    return [*lines, *_confusion_lines(figures["confusion"])]


def _confusion_lines(found: Confusion) -> list[str]:
    seen = {right: sum(row.values()) for right, row in found.items()}
    wrong = [(n, right, answer) for right, row in found.items() for answer, n in row.items() if right != answer]
    most = sorted(wrong, key=lambda cell: -cell[0])[:_MOST]
    lines = [f"  {f'{n} of {seen[right]:,}':>12}  {_short(right)} -> {_short(answer)}" for n, right, answer in most]
    return ["  most frequent confusions (right -> answered)", *lines] if lines else []


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1]}…"
