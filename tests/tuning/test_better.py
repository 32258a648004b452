"""Calibrated or trained: accuracy decides where it tells them apart, else nearness to the float model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeft.tasks.entities import f1
from edgeft.tasks.task import Scores
from edgeft.tuning.better import Choice, better, cross_entropy_of, divergence
from edgeft.tuning.resampled import Resampled


def logits(right: list[bool], sure: float = 1.0) -> np.ndarray:
    """Two labels, the first of which is the right one everywhere."""
    return np.array([[sure, 0.0] if each else [0.0, sure] for each in right], np.float32)


def test_divergence_in_closed_form() -> None:
    """p = (3/4, 1/4) against q = (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2)."""
    teacher, student = np.array([[math.log(3), 0.0]], np.float32), np.array([[7.0, 7.0]], np.float32)
    assert divergence(teacher, student) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert divergence(teacher, teacher) == pytest.approx(0.0, abs=1e-12)


def test_cross_entropy_in_closed_form() -> None:
    """The right label has probability 3/4, then 1/4: (ln(4/3) + ln 4) / 2."""
    logits = np.array([[math.log(3), 0.0]] * 2, np.float32)
    wanted = (math.log(4 / 3) + math.log(4)) / 2
    assert cross_entropy_of(logits, np.array([0, 1])) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("only_one_right", "told_apart"),
    [(6, True), (5, False)],  # exact two-sided p: 2 / 2**6 = 0.031 and 2 / 2**5 = 0.0625
)
@pytest.mark.parametrize("winner", ["trained", "calibrated"])
def test_accuracy_decides_where_it_can(only_one_right: int, told_apart: bool, winner: str) -> None:
    labels = np.zeros(40, np.int64)
    teacher = logits([True] * 40, sure=3.0)
    good, bad = logits([True] * 40, sure=0.1), logits([False] * only_one_right + [True] * (40 - only_one_right), 3.0)
    pair = (good, bad) if winner == "calibrated" else (bad, good)
    choice = better(teacher, *pair, labels)
    assert choice.told_apart is told_apart
    # The less accurate model has the smaller loss: sure where the float model is sure, on 34 or 35 of 40 examples.
    assert choice.loss["calibrated" if winner == "trained" else "trained"] < choice.loss[winner]
    assert (choice.kept == winner) is told_apart


def test_the_line_says_what_decided() -> None:
    labels = np.zeros(10, np.int64)
    teacher, near, far = (logits([True] * 10, sure) for sure in (2.0, 1.9, 0.5))
    choice = better(teacher, calibrated=far, trained=near, labels=labels)
    assert choice.kept == "trained"
    assert choice.line().startswith("accuracy on validation: trained 1.0000, calibrated only 1.0000: too near to tell")


def test_a_metric_of_counts_is_told_apart_by_resampling() -> None:
    """40 sentences with two entities each: trained finds one more of them in `gained` sentences, and none less."""

    def choice(gained: int) -> Choice:
        there = np.full(40, 2)
        before = np.stack([there - 1, there - 1, there], axis=1)
        after = before + (np.arange(40) < gained)[:, None] * [1, 1, 0]
        scores = [Scores("f1", float(f1(c.sum(axis=0))), 40, c[:, 0] == 2, counts=c) for c in (before, after)]
        logits = np.zeros((40, 2), np.float32)
        return better(logits, logits, logits, np.zeros(40, np.int64), Resampled(*scores, f1))

    assert choice(10).told_apart and choice(10).kept == "trained"
    assert not choice(1).told_apart  # a third of the resamples do not have that sentence
    assert choice(10).line().startswith("f1 on validation: trained 0.7692, calibrated only 0.6667")
