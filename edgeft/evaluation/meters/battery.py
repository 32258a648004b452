"""The battery of a laptop, handheld or phone: everything in the case, the display too."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeft.evaluation.meters.world import ReadError, Unavailable, World


@dataclass
class Battery:
    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "battery"
    coverage: str = "whole device"
    resolution: str = "fuel gauge, refreshed every 1 to 60 s, a few per cent"
    hz: float = 1.0
    min_window_s: float = 300.0
    trim_s: float = 30.0  # it shows an average of what was before

    def __post_init__(self) -> None:
        tree = self.world.tree
        self._supplies = [
            place
            for place in tree.glob("sys/class/power_supply/*")
            if tree.text(place / "type") == "Battery" and tree.text(place / "scope") != "Device"
        ]

    @property
    def source(self) -> str:
        return ", ".join(place.name for place in self._supplies)

    def available(self) -> str | None:
        if not self._supplies:
            return Unavailable("no battery")
        try:
            self.watts()
        except ReadError as error:
            return Unavailable(str(error), "unplug the charger to measure with it", present=True)
        return None

    def watts(self) -> float:
        """Raises ReadError as soon as none discharges: a charger then gives the energy."""
        states = {place.name: self.world.tree.text(place / "status") or "unknown" for place in self._supplies}
        active = [place for place in self._supplies if states[place.name] == "Discharging"]
        if not active or any(state == "Charging" for state in states.values()):
            shown = ", ".join(f"{name} is {state.lower()}" for name, state in states.items())
            raise ReadError(f"the battery does not feed the machine: {shown}")
        return sum(self._one(place) for place in active)

    def _one(self, place: Path) -> float:
        # µW, else µA times µV; drivers disagree about the sign of what flows out.
        if (place / "power_now").exists():
            return abs(self.world.number(place / "power_now")) / 1e6
        return abs(self.world.number(place / "current_now")) * self.world.number(place / "voltage_now") / 1e12
