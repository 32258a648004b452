"""NVIDIA Jetson: the INA3221 power monitors on the module, in both layouts of the driver.

Rails feed each other. The total is the input rail, or the rails that hang on the input side by side; which, is one
table by exact names. Matching parts of names took VDD_CPU_GPU_CV for the CPU elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

# Rails whose sum is the module, the first rule all of whose rails are here. Sources: NVIDIA, Jetson Linux developer
# guide, "Software-Based Power Consumption Modeling"; device trees of P3448, P3767 and P3701.
# AGX Orin: VDDQ_VDD2_1V8AO hangs on the 5 V rail, so it is not added.
TOTALS: tuple[tuple[str, ...], ...] = (
    ("VDD_IN",),  # Orin Nano and NX, Xavier NX, TX2
    ("POM_5V_IN",),  # Nano
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
    ("VIN",),  # Thor
)
_COVERS = {"VIN": "module and carrier board"}  # every other total leaves the carrier out
_NOT_A_RAIL = ("NC", "sum of shunt voltages")
# Sources: data sheets of INA3221 and INA238.
_STEPS = {"INA3221": "INA3221, 13 bit (40 mW at 5 V over 5 mOhm)", "INA238": "INA238, 16 bit"}
_SHUNT_STEP_V = 40e-6  # INA3221 data sheet


@dataclass(frozen=True)
class Rail:
    """A rail as (voltage mV, current mA) files, or as one power file in mW."""

    name: str
    files: tuple[Path, ...]
    shunt_uohm: int | None = None
    chip: str = "INA3221"

    def watts(self, world: World) -> float:
        values = [world.number(place) for place in self.files]
        return values[0] * values[1] / 1e6 if len(values) == 2 else values[0] / 1e3

    def step_w(self, world: World) -> float | None:
        """One step of the current at the rail's voltage: 40 uV over the shunt."""
        if not self.shunt_uohm or len(self.files) != 2:
            return None
        return _SHUNT_STEP_V / (self.shunt_uohm * 1e-6) * world.number(self.files[0]) / 1e3


@dataclass
class Ina3221:
    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "ina3221"
    hz: float = 20.0  # a register takes about 0.5 ms to read, a sample six of them
    min_window_s: float = 10.0
    trim_s: float = 0.1

    def __post_init__(self) -> None:
        self._rails = find_rails(self.world)
        self._total = total_of(self._rails)

    @property
    def coverage(self) -> str:
        return _COVERS.get(self.source, "module")

    @property
    def source(self) -> str:
        return " + ".join(rail.name for rail in self._total)

    @property
    def resolution(self) -> str:
        try:
            steps = [rail.step_w(self.world) for rail in self._total]
        except ReadError:
            steps = []
        known = [f"{1000 * step:.0f} mW" for step in steps if step]
        if known:
            return f"INA3221, steps of {', '.join(known)}"
        return _STEPS[self._total[0].chip if self._total else "INA3221"]

    def available(self) -> str | None:
        if not self._rails:
            return Unavailable("no INA3221 power monitor (those of Jetson modules)")
        if not self._total:
            names = ", ".join(self._rails)
            return Unavailable(f"of the rails {names} it is not known which make up the module", present=True)
        try:
            self.watts()
        except ReadError as error:
            return Unavailable(f"{self.source} cannot be read ({error})", present=True)
        return None

    def watts(self) -> float:
        return sum(rail.watts(self.world) for rail in self._total)


def total_of(rails: dict[str, Rail]) -> list[Rail]:
    """The rails to add up; empty when no rule fits."""
    return next(([rails[name] for name in names] for names in TOTALS if all(name in rails for name in names)), [])


def find_rails(world: World) -> dict[str, Rail]:
    """Rails by name, from hwmon (JetPack 5 and later) and iio (JetPack 4)."""
    found: dict[str, Rail] = {}
    ina3221 = [*_hwmon(world), *_iio(world)]
    # By itself an INA238 is some other board's, and what it measures is not known.
    for rail in (*ina3221, *(_ina238(world) if ina3221 else ())):
        if rail.name not in _NOT_A_RAIL:
            found.setdefault(rail.name, rail)
    return found


def _hwmon(world: World) -> list[Rail]:
    rails = []
    for label in world.tree.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label"):
        number, name = label.name[2:-6], world.tree.text(label)
        files = (label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input"))
        if name and number in ("1", "2", "3"):  # 4 to 6 are shunt voltages, 7 their sum
            rails.append(Rail(name, files, world.tree.number(label.with_name(f"shunt{number}_resistor"))))
    return rails


def _ina238(world: World) -> list[Rail]:
    """Thor's input. The kernel's driver has no labels of channels; the device tree may name the chip."""
    rails = []
    for place in world.tree.glob("sys/bus/i2c/drivers/ina238/*/hwmon/hwmon*"):
        name = world.tree.text(place / "label") or world.tree.text(place / "in1_label") or "VIN"
        rails.append(Rail(name, (place / "in1_input", place / "curr1_input"), chip="INA238"))
    return rails


def _iio(world: World) -> list[Rail]:
    rails = []
    for label in world.tree.glob("sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*"):
        name = world.tree.text(label)
        if name:
            rails.append(Rail(name, (label.with_name(f"in_power{label.name.rpartition('_')[2]}_input"),)))
    return rails
