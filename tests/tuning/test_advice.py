from __future__ import annotations

from typing import Any

import pytest

from edgeft.tuning.advice import advice


def course(*epochs: tuple[float, float]) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl from (training loss, validation accuracy) of each epoch."""
    lines: list[dict[str, Any]] = []
    for number, (loss, score) in enumerate(epochs, 1):
        lines += [{"epoch": number, "loss": loss}, {"epoch": number, "metrics": {"accuracy": score}}]
    return lines


def test_learning_by_heart_is_told_where_validation_clearly_fell() -> None:
    # two standard errors of 0.8 on 400 examples are 0.04
    fell = course((0.9, 0.7), (0.5, 0.8), (0.2, 0.75))
    assert advice(fell, 400)[0].startswith("validation was best in epoch 2 (0.8000) and fell to 0.7500")
    assert advice(fell, 100) == []
    assert advice(course((0.9, 0.7), (0.5, 0.8), (0.48, 0.75)), 400) == []


@pytest.mark.parametrize(("n", "lines"), [(400, 1), (50, 0)])
def test_more_epochs_are_advised_while_validation_rises(n: int, lines: int) -> None:
    found = advice(course((0.9, 0.7), (0.5, 0.8)), n)
    assert len(found) == lines and all("from 0.7000 to 0.8000" in line for line in found)


def test_one_epoch_says_nothing() -> None:
    assert advice(course((0.9, 0.7)), 1000) == [] == advice([], 1000)
