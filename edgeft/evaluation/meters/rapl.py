"""RAPL: the energy counters of Intel and AMD processors, through powercap.

Zones contain each other: psys holds package, package holds core and uncore, and intel-rapl-mmio repeats package.
Only packages and the memory beside them are added up (Documentation/power/powercap/powercap.rst).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

_POWERCAP = "sys/class/powercap"
# One step of the counter on most Intel clients and AMD parts: 2^-14 J (Intel SDM, MSR_RAPL_POWER_UNIT).
_STEP_J = 2.0**-14
# Two dies of a package whose counters are nearer than this are one counter seen twice: counters that run on their
# own are apart by the joules of their whole uptime.
_MIRROR_UJ = 1_000_000
# Above every package sold, so that no wrap is missed.
_HIGHEST_W = 500.0
_READABLE = (
    "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj /sys/class/powercap/intel-rapl:*/intel-rapl:*/energy_uj "
    "(until the next boot; for good, a udev rule: SUBSYSTEM==\"powercap\", KERNEL==\"intel-rapl*\", "
    "RUN+=\"/usr/bin/chgrp power /sys/%p/energy_uj\", RUN+=\"/usr/bin/chmod g+r /sys/%p/energy_uj\")"
)  # fmt: skip
_MOUNTED = "docker run --security-opt systempaths=unconfined -v /sys/class/powercap:/sys/class/powercap:ro …"


@dataclass
class Zone:
    """One counter; `total_uj` grows through wraps at `range_uj` (max_energy_range_uj)."""

    name: str
    place: Path
    range_uj: int
    last_uj: int | None = None
    total_uj: int = 0
    wraps: int = 0

    def advance(self, now_uj: int) -> None:
        if self.last_uj is not None:
            step = now_uj - self.last_uj
            if step < 0:
                step += self.range_uj
                self.wraps += 1
            self.total_uj += step
        self.last_uj = now_uj


@dataclass
class Rapl:
    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "rapl"
    min_window_s: float = 10.0  # the counter moves every ms, its noise needs longer
    lsb_j: float = _STEP_J
    resolution: str = "counter of about 61 uJ a step; partly modelled by the processor, a few per cent"

    def __post_init__(self) -> None:
        self._zones = self._find()

    def _find(self) -> list[Zone]:
        return _counted(_zones(self.world), self.world)

    @property
    def coverage(self) -> str:
        return "CPU package and memory" if any(zone.name == "dram" for zone in self._zones) else "CPU package"

    @property
    def source(self) -> str:
        return ", ".join(f"{zone.place.name} ({zone.name})" for zone in self._zones)

    @property
    def wraps(self) -> int:
        return sum(zone.wraps for zone in self._zones)

    @property
    def keep_alive_s(self) -> float:
        """A quarter of the time to a wrap at full power: at most one wrap can then lie between two reads."""
        return min((0.25e-6 * zone.range_uj / _HIGHEST_W for zone in self._zones), default=60.0)

    def available(self) -> str | None:
        if not self._zones:
            return _why_nothing(self.world)
        try:
            self.joules()
        except ReadError as error:
            names = ", ".join(zone.name for zone in self._zones)
            return Unavailable(f"the counters ({names}) cannot be read ({error})", _READABLE, present=True)
        return None

    def joules(self) -> float:
        # All are read before any advances: a failed read leaves every total as it was.
        values = [self.world.number(zone.place / "energy_uj") for zone in self._zones]
        for zone, value in zip(self._zones, values, strict=True):
            zone.advance(value)
        return sum(zone.total_uj for zone in self._zones) / 1e6


@dataclass
class RaplPsys(Rapl):
    """The platform's counter, which holds the package's: a meter of its own, on request, and never added to that."""

    name: str = "rapl-psys"
    resolution: str = "counter of about 61 uJ a step; what it holds is up to the board's maker"

    def _find(self) -> list[Zone]:
        return [zone for zone in _zones(self.world) if zone.name == "psys"][:1]

    @property
    def coverage(self) -> str:
        return "platform (psys)"

    def available(self) -> str | None:
        if not self._zones and _counted(_zones(self.world), self.world):
            return Unavailable("this board has no psys counter", "--meter rapl")
        return super().available()


def _zones(world: World) -> list[Zone]:
    """Every counter that works."""
    places: dict[str, Path] = {}
    for pattern in ("intel-rapl:*", "intel-rapl:*/intel-rapl:*"):
        for place in world.tree.glob(f"{_POWERCAP}/{pattern}"):
            places.setdefault(place.name, place)
    return [zone for place in places.values() if (zone := _zone(world, place)) is not None]


def _counted(zones: list[Zone], world: World) -> list[Zone]:
    """Every package once, and memory where it can be read."""
    packages = {zone.name: zone for zone in reversed(zones) if zone.name.startswith("package-")}
    memory = [zone for zone in zones if zone.name == "dram" and _value(world, zone) is not None]
    by_name = sorted(packages.values(), key=lambda zone: zone.name)
    return [*_without_mirrors(world, by_name), *_without_mirrors(world, memory)]


def _zone(world: World, place: Path) -> Zone | None:
    name = world.tree.text(place / "name") or ""
    span = world.tree.number(place / "max_energy_range_uj")
    if not span or not name:
        return None  # a range of 0 marks a counter that does not work
    return Zone(name, place, span)


def _value(world: World, zone: Zone) -> int | None:
    return world.tree.number(zone.place / "energy_uj")


def _without_mirrors(world: World, zones: list[Zone]) -> list[Zone]:
    """Threadripper and first EPYCs show one zone a die, all with the socket's counter (mlco2/codecarbon#1274)."""
    kept: list[tuple[str, int | None]] = []
    found = []
    for zone in zones:
        value, socket = _value(world, zone), re.sub(r"-die-\d+$", "", zone.name)
        twin = value and any(other and known == socket and abs(value - other) < _MIRROR_UJ for known, other in kept)
        if not twin:
            found.append(zone)
        kept.append((socket, value))
    return found


def _why_nothing(world: World) -> Unavailable:
    from edgeft import machine

    known = machine.describe_machine(world.root)
    if world.tree.glob(f"{_POWERCAP}/intel-rapl*"):
        return Unavailable("powercap has no package counter that works (its range is 0)")
    if "container" in known and "virtualization" not in known:
        return Unavailable(f"a {known['container']} container shows no /sys/class/powercap", _MOUNTED)
    if "virtualization" in known:  # also around a container, which then has nothing to be given
        kind = known["virtualization"]
        named = "a virtual machine" if kind == "virtual machine" else f"a virtual machine ({kind})"
        return Unavailable(f"{named} has no energy counters", "measure on the host, or with an external meter")
    if known.get("architecture") not in ("x86_64", "AMD64", None):
        return Unavailable("only Intel and AMD processors have RAPL")
    return Unavailable("no /sys/class/powercap/intel-rapl:* here", "sudo modprobe intel_rapl_msr")
