"""Apple processors, through macOS's powermetrics: the system's own estimate of CPU, GPU and neural engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

COMMAND = ("sudo", "-n", "powermetrics", "--samplers", "cpu_power,gpu_power,ane_power", "-i", "1000", "-n", "1")
_LINE = re.compile(r"^(CPU|GPU|ANE) Power: ([0-9.]+) (m?W)$", re.MULTILINE)


def parts_w(text: str) -> dict[str, float]:
    """Watts of CPU, GPU and ANE in one sample; the line "Combined Power" is their sum and is not read."""
    return {name: float(value) * (1e-3 if unit == "mW" else 1.0) for name, value, unit in _LINE.findall(text)}


@dataclass
class Powermetrics:
    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "powermetrics"
    coverage: str = "CPU, GPU and ANE (Apple's estimate)"
    source: str = "powermetrics cpu_power, gpu_power, ane_power"
    resolution: str = "1 mW; a model of the system's, without memory; Apple: not for comparing devices"
    hz: float = 1.0  # each call averages over one second
    min_window_s: float = 100.0
    trim_s: float = 1.0

    def available(self) -> str | None:
        if not self.world.tree.path("usr/bin/powermetrics").exists():
            return Unavailable("not macOS")
        try:
            self.watts()
        except ReadError as error:
            return Unavailable(f"powermetrics needs root ({error})", "sudo -v, then the same command", present=True)
        return None

    def watts(self) -> float:
        parts = parts_w(self.world.run(COMMAND))
        if "CPU" not in parts:
            raise ReadError("powermetrics printed no CPU Power")
        return sum(parts.values())
