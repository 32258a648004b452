"""The preset quick in a fraction of a second; what is done stays the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgeft.evaluation import energy_plan, latency, presets

SHORT = presets.Preset("quick", "quick - not for publication", 4, 0.02, 0.08, 80, 4.0, 0.0, 1, (0.9,), warm_cap_s=0.1)


def shorten(setitem: Callable[[Any, str, Any], None], setattr_: Callable[[Any, str, Any], None]) -> None:
    setitem(presets.PRESETS, "quick", SHORT)
    setattr_(latency, "WARM_S", 0.02)
    setattr_(latency, "WARM_STEP_S", 0.01)
    setitem(energy_plan.PLANS, "quick", energy_plan.EnergyPlan(4, 0.05, 0.05))
    setattr_(latency, "SETTLE", latency.BlockRule(3, 0.0, 1.0))
