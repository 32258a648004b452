"""The state of the machine at one moment: load, clocks, temperature, throttling. Unknown stays None."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Iterations of the clock-speed probe: a few milliseconds on a board.
_PROBE_ITERATIONS = 100_000


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
    """

    load_1min: float | None = None
    mhz: float | None = None
    governors: tuple[str, ...] = ()
    temperature_c: float | None = None
    throttle_count: int | None = None
    pi_throttled: int | None = None
    swapped_in_pages: int | None = None
    on_battery: bool | None = None

    @staticmethod
    def take(root: Path = Path("/")) -> Snapshot:
        """Read it from the files of `root` (a test gives a made-up tree)."""
        cpu = root / "sys/devices/system/cpu"
        clocks = _numbers(cpu.glob("cpufreq/policy*/scaling_cur_freq"))
        temperatures = _numbers((root / "sys/class/thermal").glob("thermal_zone*/temp"))
        throttles = _numbers(cpu.glob("cpu*/thermal_throttle/*_throttle_count"))
        return Snapshot(
            load_1min=_first_number(root / "proc/loadavg"),
            mhz=sum(clocks) / len(clocks) / 1000 if clocks else None,
            governors=tuple(sorted({_text(path) for path in cpu.glob("cpufreq/policy*/scaling_governor")} - {""})),
            temperature_c=max(temperatures) / 1000 if temperatures else None,
            throttle_count=int(sum(throttles)) if throttles else None,
            pi_throttled=_pi_bits(root),
            swapped_in_pages=_vmstat(root, "pswpin"),
            on_battery=_on_battery(root),
        )

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None and value != ()}


def _text(path: Path) -> str:
    # Sensors that are switched off answer EAGAIN or EIO: as good as absent.
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _first_number(path: Path) -> float | None:
    try:
        return float(_text(path).split()[0])
    except (ValueError, IndexError):
        return None


def _numbers(paths: Any) -> list[float]:
    return [value for path in paths if (value := _first_number(path)) is not None]


def _pi_bits(root: Path) -> int | None:
    """Bit 0 under-voltage, 1 clock capped, 2 throttled, 3 soft temperature limit; 16-19 the same since boot."""
    for pattern in ("soc:firmware/get_throttled", "firmware*/get_throttled", "*firmware*/get_throttled"):
        for path in sorted((root / "sys/devices/platform").glob(f"soc*/{pattern}")):
            try:
                return int(_text(path), 16)
            except ValueError:
                continue
    return None


def _vmstat(root: Path, key: str) -> int | None:
    for line in _text(root / "proc/vmstat").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None


def _on_battery(root: Path) -> bool | None:
    states = [
        _text(supply / "status")
        for supply in (root / "sys/class/power_supply").glob("*")
        if _text(supply / "type") == "Battery" and _text(supply / "scope") != "Device"
    ]
    return any(state == "Discharging" for state in states) if states else None


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
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def allowed_cpus() -> int:
    """Cores this process may use (taskset, cpuset), not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
