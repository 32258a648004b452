"""A counter of a machine that takes 10 W whatever it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edgeft.evaluation import energy
from edgeft.registry import Registry


class TenWatts:
    name, coverage, source, resolution = "ten-watts", "CPU package", "a test", "1 mJ"
    min_window_s, lsb_j, keep_alive_s, wraps = 0.0, 1e-3, 60.0, 0

    def __init__(self, world: Any, argument: str) -> None: ...

    def available(self) -> str | None:
        return None

    def joules(self) -> float:
        return 10 * time.perf_counter()


def use_steady_meter(setattr_: Callable[[Any, str, Any], None]) -> None:
    setattr_(energy, "METERS", Registry("meter", {"ten-watts": "tests.evaluation.meters.steady_meter:TenWatts"}))
