"""The A/A check: the baseline measured against itself shows what this machine can tell apart.

A second session of the same file takes its turns in the blocks. Its ratio should contain 1, and its interval be
narrow; else smaller differences than that between variants mean nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft.evaluation import stats
from edgeft.evaluation.claims import NOISE_FLOOR
from edgeft.evaluation.latency import Series
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.validity import Flag, flag

# Half-width of the interval beyond which the check fails.
HALF_WIDTH = 0.02


def name_of(baseline: str) -> str:
    return f"{baseline} (A/A)"


def more_paths(preset: Preset, baseline: str, paths: Mapping[str, Path]) -> dict[str, Path]:
    """What the latency pass opens beside the variants."""
    return {name_of(baseline): paths[baseline]} if preset.aa_check else {}


def check(series: Mapping[str, Series], baseline: str) -> dict[str, Any]:
    """{"aa_check": {ratio, ci95, half_width, passed}}; empty when the check was not made."""
    again = series.get(name_of(baseline))
    if again is None:
        return {}
    found = stats.paired_ratio(series[baseline].block_p50_s(), again.block_p50_s())
    if found.low is None or found.high is None:
        return {}
    half_width = (found.high - found.low) / 2
    return {
        "aa_check": {
            "ratio": found.point, "ci95": [found.low, found.high], "half_width": half_width,
            "passed": found.low <= 1 <= found.high and half_width <= HALF_WIDTH,
        }
    }  # fmt: skip


def flags(checked: Mapping[str, Any]) -> list[Flag]:
    """One run in twenty misses 1 by chance, so that alone is a warning; a whole interval beyond the noise is not."""
    found = checked.get("aa_check")
    if found is None or found["passed"]:
        return []
    low, high = found["ci95"]
    evidence = f"the baseline against itself gives {found['ratio']:.3f}x, 95 % interval {low:.3f} to {high:.3f}"
    if low > 1 + NOISE_FLOOR or high < 1 / (1 + NOISE_FLOOR):
        return [flag("aa", "invalid", f"{evidence}: this machine tells equal models apart")]
    return [flag("aa", "warning", f"{evidence}: smaller differences between variants mean nothing here")]
