"""Pixel phones: the on-device power monitor, which counts the joules of each rail of the power chips.

One file a chip, /sys/bus/iio/devices/iio:deviceN/energy_value, in microwatt-seconds since boot:

    t=349894
    CH3(T=349894)[S2M_VDD_CPUCL2], 30203502

Rails that are added up: CPU clusters and memory. They stand side by side behind the battery's voltage; VSYS_PWR_… are
other parts of the phone. Source of the format: AOSP, hardware/google/pixel, IioEnergyMeterDataProvider.cpp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

_FILES = "sys/bus/iio/devices/iio:device*/energy_value"
_RAIL = re.compile(r"^CH\d+\(T=\d+\)\[([^\]]+)\],\s*(\d+)\s*$", re.MULTILINE)
_CPU = re.compile(r"_VDD_CPUCL\d+$")
_MEMORY = re.compile(r"_VDD_MIF$|_MEM$|_VDD2[HL]?$")


def rails_uj(text: str) -> dict[str, int]:
    """Microjoules by rail in one energy_value."""
    return {name: int(value) for name, value in _RAIL.findall(text)}


@dataclass
class Odpm:
    """`argument` names rails instead, with + between them: odpm:S10M_VDD_TPU."""

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "odpm"
    # The driver renews what it shows after 20 samples: 20 ms at the fastest setting, 2.6 s at the slowest.
    min_window_s: float = 30.0
    lsb_j: float = 1e-6
    keep_alive_s: float = 60.0
    wraps: int = 0  # 64 bits of uJ
    resolution: str = "counter in uJ of power chips that sample each rail every 1 to 131 ms"

    def __post_init__(self) -> None:
        self._files = self.world.tree.glob(_FILES)
        there = self._read() if self._files else {}
        wanted = self.argument.split("+") if self.argument else [n for n in there if _CPU.search(n)]
        if wanted and not self.argument:
            wanted += [name for name in there if _MEMORY.search(name)]
        self._rails, self._there = wanted, there

    def _read(self) -> dict[str, int]:
        """Rails of the chips that answer; a chip that is not permitted is left out."""
        found: dict[str, int] = {}
        for place in self._files:
            found |= rails_uj(self.world.tree.text(place) or "")
        return found

    @property
    def coverage(self) -> str:
        if self.argument:
            return f"{self.source} rail" if len(self._rails) == 1 else f"rails {self.source}"
        return "CPU and memory rails" if any(_MEMORY.search(name) for name in self._rails) else "CPU rails"

    @property
    def source(self) -> str:
        return " + ".join(self._rails)

    def available(self) -> str | None:
        if not self._files:
            return Unavailable("no on-device power monitor (that of Pixel 6 and later)")
        if not self._there:
            names, files = ", ".join(place.parent.name for place in self._files), " ".join(map(str, self._files))
            fix = f"su -c 'chmod a+r {files}'"
            return Unavailable(f"the power monitor ({names}) cannot be read", fix, present=True)
        missing = [name for name in self._rails if name not in self._there]
        if missing or not self._rails:
            what = f"no rail {missing[0]!r}" if missing else "no rail of the processor"
            return Unavailable(f"{what} among {', '.join(self._there)}", "name rails: --meter odpm:RAIL+RAIL",
                               present=True)  # fmt: skip
        return None

    def joules(self) -> float:
        now = self._read()
        gone = [name for name in self._rails if name not in now]
        if gone:
            raise ReadError(f"the power monitor does not give {gone[0]} any more")
        return sum(now[name] for name in self._rails) / 1e6
