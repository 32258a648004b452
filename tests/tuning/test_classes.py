"""Which classes a model gets wrong: by hand, as lines, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeft.tasks.classification import score
from edgeft.tuning.classes import class_errors, class_figures, confusion
from edgeft.tuning.matrix import draw_confusion, most_confused

NAMES = ["cat", "dog", "a class with a very long name that nobody can read in one line"]
LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 1, 2, 1, 1, 1, 1])


def figures() -> dict[str, Any]:
    return class_figures(score(PREDICTED, LABELS, NAMES), PREDICTED, LABELS, NAMES)


def test_the_matrix_by_hand() -> None:
    found = confusion(PREDICTED, LABELS, NAMES)
    assert found == {"cat": {"cat": 2, "dog": 1, NAMES[2]: 1}, "dog": {"dog": 2}, NAMES[2]: {"dog": 2}}
    rows = figures()["per_class"]
    # cat: 2 of 4 found, both answers "cat" right; dog: 2 of 2 found among 5 answers
    assert rows["cat"] == {"n": 4, "recall": 0.5, "precision": 1.0, "f1": 0.6667}
    assert rows["dog"] == {"n": 2, "recall": 1.0, "precision": 0.4, "f1": 0.5714}
    assert rows[NAMES[2]]["f1"] == 0.0
    assert figures()["macro_f1"] == pytest.approx((2 / 3 + 4 / 7) / 3, abs=1e-4)


def test_lines_name_the_worst_classes_and_confusions_first() -> None:
    lines = class_errors("float on test", figures())
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "float on test, macro-F1 0.4127"
    assert [line.split()[0] for line in lines[2:5]] == ["a", "dog", "cat"]
    assert lines[4].split() == ["cat", "4", "1.0000", "0.5000", "0.6667"]
    assert lines[6].split(None, 3) == ["2", "of", "2", "a class with a very long name… -> dog"]
    assert len(lines) == 9


def test_no_error_is_one_line() -> None:
    right = class_figures(score(LABELS, LABELS, NAMES), LABELS, LABELS, NAMES)
    assert class_errors("x", right) == ["x, macro-F1 1.0000: no class has an error"]


def test_a_label_that_is_only_answered_has_no_recall() -> None:
    one = class_figures(score(np.array([1]), np.array([0]), NAMES), np.array([1]), np.array([0]), NAMES)
    assert class_errors("x", one)[3].split() == ["dog", "0", "0.0000", "-", "0.0000"]


def test_of_many_labels_those_with_most_errors_are_drawn() -> None:
    counts = np.diag([5, 5, 5, 5])
    counts[3, 1] = 4
    assert most_confused([counts, np.diag([1, 1, 1, 1])], 2) == [1, 3]


@pytest.mark.parametrize("labels", [3, 40])
def test_a_panel_for_each_model(labels: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the package matplotlib is not installed")
    names = [f"label {number}" for number in range(labels)]
    matrix = {name: {name: 3, names[0]: 1} for name in names[1:]}
    sizes = []
    for number in (1, 2):
        assert draw_confusion({str(title): matrix for title in range(number)}, names, tmp_path / "c.png")
        with Image.open(tmp_path / "c.png") as picture:
            sizes.append(picture.size)
            blue = np.asarray(picture.convert("RGB")).astype(int)
            assert ((blue[..., 2] - blue[..., 0]) > 60).any()  # something is drawn in blue
    assert sizes[1][0] > sizes[0][0] and sizes[1][1] == sizes[0][1]
