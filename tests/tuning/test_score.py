from __future__ import annotations

import numpy as np
import pytest

from edgeft.tuning.score import calibration_error


def test_calibration_error_by_hand() -> None:
    # two answers 0.9 sure of which one is right, and two 0.6 sure that are both right
    sure, right = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
    assert calibration_error(sure, right) == pytest.approx((2 * abs(0.9 - 0.5) + 2 * abs(0.6 - 1.0)) / 4)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0
