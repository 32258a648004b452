"""The state of the machine at one moment: load, clocks, temperature, throttling. Unknown stays None."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeft import machine
from edgeft.sysfiles import Tree

# Iterations of the clock-speed probe: a few milliseconds on a board.
_PROBE_ITERATIONS = 100_000


class Card(Protocol):
    """A graphics card: its part of a Snapshot."""

    def look(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Snapshot:
    """One look at the machine.

    load_1min           1-minute load average
    mhz                 mean of the cores' current clocks, as the kernel claims them
    governors           distinct cpufreq governors
    temperature_c       hottest thermal zone
    throttle_count      thermal throttle events of all x86 cores and packages since boot
    pi_throttled        Raspberry Pi's get_throttled bits
    swapped_in_pages    pages read back from swap since boot
    on_battery          a battery is discharging
    available_bytes     memory that can be had without swapping
    charging            a battery is charging
    gpu_temperature_c, gpu_mhz, gpu_throttle_bits   of the graphics card the model runs on (nvml.h)
    """

    load_1min: float | None = None
    mhz: float | None = None
    governors: tuple[str, ...] = ()
    temperature_c: float | None = None
    throttle_count: int | None = None
    pi_throttled: int | None = None
    swapped_in_pages: int | None = None
    on_battery: bool | None = None
    available_bytes: int | None = None
    charging: bool | None = None
    gpu_temperature_c: float | None = None
    gpu_mhz: float | None = None
    gpu_throttle_bits: int | None = None

    @staticmethod
    def take(root: Path = Path("/"), gpu: Card | None = None) -> Snapshot:
        """Read it from the files of `root` (a test gives a made-up tree)."""
        tree = Tree(root)
        clocks = _numbers(tree, "sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq")
        throttles = _numbers(tree, "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
        bits, load = machine.pi_throttled(root), tree.text("proc/loadavg")
        batteries = _batteries(tree)
        return Snapshot(
            load_1min=float(load.split()[0]) if load else None,
            mhz=sum(clocks) / len(clocks) / 1000 if clocks else None,
            governors=_governors(tree),
            temperature_c=max(machine.temperatures_c(root).values(), default=None),
            **(gpu.look() if gpu is not None else {}),
            throttle_count=sum(throttles) if throttles else None,
            pi_throttled=int(bits, 16) if bits else None,
            swapped_in_pages=_swapped_in(tree),
            on_battery="Discharging" in batteries if batteries else None,
            available_bytes=available_bytes(root),
            charging="Charging" in batteries if batteries else None,
        )

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None and value != ()}


def _numbers(tree: Tree, pattern: str) -> list[int]:
    return [value for path in tree.glob(pattern) if (value := tree.number(path)) is not None]


def _governors(tree: Tree) -> tuple[str, ...]:
    found = {tree.text(path) or "" for path in tree.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_governor")}
    return tuple(sorted(found - {""}))


def _swapped_in(tree: Tree) -> int | None:
    for line in (tree.text("proc/vmstat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == "pswpin":
            return int(value)
    return None


def _batteries(tree: Tree) -> list[str | None]:
    """What each battery that drives the machine does: "Charging", "Discharging", "Full", …"""
    return [
        tree.text(supply / "status")
        for supply in tree.glob("sys/class/power_supply/*")
        if tree.text(supply / "type") == "Battery" and tree.text(supply / "scope") != "Device"
    ]


def probe_speed_s() -> float:
    """Seconds of a fixed integer loop, best of three: a clock check where `scaling_cur_freq` lies (Raspberry Pi)."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        value = 1
        for _ in range(_PROBE_ITERATIONS):
            value = value * 5 % 8191
        best = min(best, time.perf_counter() - start)
    return best


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping or beyond a container's limit; None where the kernel does not say."""
    text = Tree(root).fields("proc/meminfo").get("MemAvailable", "")
    known = [int(text.split()[0]) * 1024] if text else []
    left = machine.cgroup_memory(root)[1]
    return min([*known, left]) if left is not None else (known[0] if known else None)
