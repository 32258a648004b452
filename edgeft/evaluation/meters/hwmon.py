"""Power and energy sensors of hwmon: INA2xx boards, ACPI power meters, SCMI, amd_energy. Matched by name and label.

Units: power µW, energy µJ, voltage mV, current mA (Documentation/hwmon/sysfs-interface.rst). hwmon numbers change from
boot to boot, so a sensor is called CHIP/LABEL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

# Not what feeds the processor: graphics cards, batteries and USB-C ports; the INA3221 has a meter of its own.
_OTHER = ("amdgpu", "nouveau", "i915", "xe", "nvme", "ina3221", "BAT", "ucsi", "AC", "hidpp", "apple")
_WHOLE = {"power_meter": "machine input"}


@dataclass(frozen=True)
class Sensor:
    """files: one of µW or µJ, or (mV, mA)."""

    chip: str
    label: str
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        return f"{self.chip}/{self.label}"

    def read(self, world: World) -> float:
        """Watts or joules."""
        product = 1
        for place in self.files:
            product *= world.number(place)
        return product / 1e6


@dataclass
class _Hwmon:
    """What sensors of power and of energy have in common; `argument` is CHIP/LABEL, CHIP or LABEL."""

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "hwmon"
    min_window_s: float = 10.0

    def __post_init__(self) -> None:
        wanted = self.argument
        self._found = [
            sensor
            for sensor in self._look()
            if wanted in (sensor.name, sensor.chip, sensor.label) or (not wanted and not sensor.chip.startswith(_OTHER))
        ]

    def _look(self) -> list[Sensor]:
        raise NotImplementedError

    @property
    def source(self) -> str:
        return ", ".join(sensor.name for sensor in self._found)

    @property
    def coverage(self) -> str:
        chips = {sensor.chip for sensor in self._found}
        return next((_WHOLE[chip] for chip in chips if chip in _WHOLE), f"{self.source} rail")

    def available(self) -> str | None:
        if not self._found:
            there = ", ".join(sensor.name for sensor in self._look())
            if self.argument and there:
                return Unavailable(f"hwmon has no sensor {self.argument!r}, only {there}", present=True)
            return Unavailable("no hwmon sensor of the machine's power")
        if len(self._found) > 1:
            # Which of them feed the processor, and which feed each other, nothing here says.
            return Unavailable(
                f"several sensors: {self.source}", f"name one: --meter {self.name}:{self._found[0].name}", present=True
            )
        try:
            self._found[0].read(self.world)
        except ReadError as error:
            fix = f"sudo chmod a+r {self._found[0].files[0]}"
            return Unavailable(f"{self.source} cannot be read ({error})", fix, present=True)
        return None


@dataclass
class HwmonPower(_Hwmon):
    hz: float = 20.0
    trim_s: float = 0.1
    resolution: str = "chip 0.1 to 1 %, its shunt more"

    def _look(self) -> list[Sensor]:
        direct = _sensors(self.world, "power", ("input", "average"))
        chips = {sensor.files[0].parent for sensor in direct}
        return [*direct, *(pair for pair in _pairs(self.world) if pair.files[0].parent not in chips)]

    def watts(self) -> float:
        return self._found[0].read(self.world)


@dataclass
class HwmonEnergy(_Hwmon):
    name: str = "hwmon-energy"
    lsb_j: float = 1e-3
    keep_alive_s: float = 60.0
    wraps: int = 0  # 64-bit sums of the driver
    resolution: str = "counter of the driver, in uJ"

    def _look(self) -> list[Sensor]:
        return _sensors(self.world, "energy", ("input",))

    def joules(self) -> float:
        return self._found[0].read(self.world)


def _chip(world: World, folder: Path) -> str:
    return world.tree.text(folder / "name") or folder.name


def _sensors(world: World, kind: str, endings: tuple[str, ...]) -> list[Sensor]:
    """One a channel, its instantaneous file before its average."""
    found: dict[Path, Sensor] = {}
    for ending in endings:
        for place in world.tree.glob(f"sys/class/hwmon/hwmon*/{kind}*_{ending}"):
            channel = place.with_name(place.name.removesuffix(f"_{ending}"))
            label = world.tree.text(channel.with_name(f"{channel.name}_label")) or channel.name
            found.setdefault(channel, Sensor(_chip(world, place.parent), label, (place,)))
    return list(found.values())


def _pairs(world: World) -> list[Sensor]:
    """Bus voltage times current of chips that give no power: in1 and curr1, as ina2xx numbers them."""
    found = []
    for amps in world.tree.glob("sys/class/hwmon/hwmon*/curr*_input"):
        number = amps.name.removeprefix("curr").removesuffix("_input")
        volts = amps.with_name(f"in{number}_input")
        if volts.exists():
            label = world.tree.text(volts.with_name(f"in{number}_label")) or f"curr{number}"
            found.append(Sensor(_chip(world, amps.parent), label, (volts, amps)))
    return found
