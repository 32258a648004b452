"""Validation examples, on which layers are compared and chosen; the test examples of the bundle are not for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from edgeft.data.dataset import Example
from edgeft.quant.feed import Tried, draw, tried
from edgeft.tasks.task import Encoder, Task


def held(encoder: Encoder, validation: Sequence[Example], n: int, seed: int, device: torch.device) -> Tried:
    """A seeded choice of `n` of them, encoded."""
    return tried(encoder, draw(validation, n, [seed, 3]), device)


def score_of(task: Task, labels: Sequence[str], tried: Tried) -> Callable[[Any, Any], float]:
    """(logits, right labels) of `tried` -> the task's metric."""
    return lambda logits, right: float(task.score(task.decode(logits), right, labels, tried.owners).value)
