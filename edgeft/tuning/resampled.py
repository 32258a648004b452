"""Telling two models apart by a metric that is no mean over examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation.stats import bootstrap_counts
from edgeft.tasks.task import Scores

_TOLD_APART = 0.05


@dataclass(frozen=True)
class Resampled:
    """Scores of both models on the same examples, and the metric as a function of sums of their counts."""

    calibrated: Scores
    trained: Scores
    from_counts: Callable[[NDArray[Any]], NDArray[np.float64]]

    @property
    def values(self) -> dict[str, float]:
        return {"calibrated": self.calibrated.value, "trained": self.trained.value}

    def apart(self) -> bool:
        """Does the 95 % interval of the difference leave 0 out?"""
        assert self.calibrated.counts is not None and self.trained.counts is not None
        found = bootstrap_counts(self.from_counts, self.calibrated.counts, self.trained.counts, seed=0)
        low, high = (float(np.quantile(found, share)) for share in (_TOLD_APART / 2, 1 - _TOLD_APART / 2))
        return low > 0 or high < 0
