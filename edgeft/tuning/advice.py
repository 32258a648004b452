"""What the course of training says about the next try, where the figures are clear enough to say anything.

A score p on n validation examples has a standard error of sqrt(p (1 - p) / n); less than two of them is chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Share that the training loss has to fall by, from the best epoch to the last, to say that the model learns by heart.
_FELL = 0.1


def advice(lines: Sequence[Mapping[str, Any]], n: int) -> list[str]:
    """Lines for a person from the lines of metrics.jsonl of one phase or stage.

    n   validation examples
    """
    scores = [(line["epoch"], next(iter(line["metrics"].values()))) for line in lines if "metrics" in line]
    losses = [(line["epoch"], line["loss"]) for line in lines if "loss" in line]
    if len(scores) < 2 or not losses:
        return []
    (best_epoch, best), (last_epoch, last) = max(scores, key=lambda pair: pair[1]), scores[-1]
    clear = 2 * math.sqrt(max(best * (1 - best), 1 / n) / n)
    if best_epoch < last_epoch and best - last > clear and _loss_fell(losses, best_epoch):
        return [
            f"validation was best in epoch {best_epoch:.3g} ({best:.4f}) and fell to {last:.4f}, and the training loss "
            "fell on: the model learns by heart; fewer --epochs, more frozen, more --weight-decay, or more examples"
        ]
    if best_epoch == last_epoch and best - scores[-2][1] > clear:
        rose = f"from {scores[-2][1]:.4f} to {best:.4f}"
        return [f"validation still rose in the last epoch, {rose}: more --epochs may help"]
    return []


def _loss_fell(losses: Sequence[tuple[float, float]], best_epoch: float) -> bool:
    """Is the training loss of the last steps clearly below that around the best epoch?"""
    before = [loss for epoch, loss in losses if epoch <= best_epoch]
    return bool(before) and losses[-1][1] < (1 - _FELL) * before[-1]
