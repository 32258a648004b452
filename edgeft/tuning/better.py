"""Which quantized model a run keeps: the calibrated one, or what training made of it.

On some hundred validation examples the two often differ by one or two answers, and whichever has one more is a matter
of chance. So accuracy decides only where it can tell them apart (exact McNemar test on the examples that one alone
answers right, 5 %). Else that one is kept with the smaller loss, the one training minimises: nearness to the float
model's probabilities, and to the labels. Every example measures it, not only the few that change sides. Where the
metric is no mean over examples (F1 of entities), a paired bootstrap over them takes the place of the McNemar test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation.stats import count_discordant, mcnemar
from edgeft.tuning.losses import LABEL_SHARE
from edgeft.tuning.resampled import Resampled

Logits = NDArray[np.float32]
_TOLD_APART = 0.05


@dataclass(frozen=True)
class Choice:
    """`kept` is "trained" or "calibrated"; `accuracy` is that of `metric`, losses are of distillation in nats, both on
    validation."""

    kept: str
    told_apart: bool
    accuracy: dict[str, float]
    loss: dict[str, float]
    metric: str = "accuracy"

    @property
    def record(self) -> dict[str, float | None]:
        """Losses for JSON, which knows no infinity."""
        return {name: value if np.isfinite(value) else None for name, value in self.loss.items()}

    def line(self) -> str:
        trained, calibrated = (f"{self.accuracy[name]:.4f}" for name in ("trained", "calibrated"))
        figures = f"{self.metric} on validation: trained {trained}, calibrated only {calibrated}"
        if self.told_apart:
            return figures
        losses = f"{self.loss['trained']:.4f} and {self.loss['calibrated']:.4f}"
        return f"{figures}: too near to tell; distillation loss there {losses}"


def better(
    teacher: Logits,
    calibrated: Logits,
    trained: Logits,
    labels: NDArray[np.int64],
    resampled: Resampled | None = None,
) -> Choice:
    """Choose between two quantized models by their logits [n, labels] on n labelled answers.

    teacher     logits of the float model
    resampled   scores of both where the metric is no mean over answers; None where it is
    """
    if resampled is None:
        right = {name: each.argmax(1) == labels for name, each in (("calibrated", calibrated), ("trained", trained))}
        accuracy = {name: float(each.mean()) for name, each in right.items()}
        apart = mcnemar(*count_discordant(right["calibrated"], right["trained"])) < _TOLD_APART
    else:
        accuracy, apart = resampled.values, resampled.apart()
    loss = {
        name: divergence(teacher, each) + LABEL_SHARE * cross_entropy_of(each, labels)
        for name, each in (("calibrated", calibrated), ("trained", trained))
    }
    kept = max(accuracy, key=accuracy.__getitem__) if apart else min(loss, key=loss.__getitem__)
    return Choice(kept, apart, accuracy, loss, "accuracy" if resampled is None else resampled.calibrated.metric)


def divergence(teacher: Logits, student: Logits) -> float:
    """Mean KL(teacher || student) of the softmax of logits, in nats; infinite where the student's are not finite."""
    p, q = _log_softmax(teacher), _log_softmax(student)
    mean = float((np.exp(p) * (p - q)).sum(1).mean())
    return mean if np.isfinite(mean) else float("inf")


def cross_entropy_of(logits: Logits, labels: NDArray[np.int64]) -> float:
    """Mean cross-entropy of the softmax of logits with labels [n], in nats; infinite where they are not finite."""
    mean = -float(_log_softmax(logits)[np.arange(len(labels)), labels].mean())
    return mean if np.isfinite(mean) else float("inf")


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found
