"""Energy: measured by a meter that says what it covers, or not measured and why. No figure is ever made up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgeft.errors import MachineError, UsageError
from edgeft.evaluation import gpu
from edgeft.evaluation.meters.kinds import EXTERNAL, Counter, Log, Meter, Power
from edgeft.evaluation.meters.world import Unavailable, World
from edgeft.registry import Registry

# A meter is one file and one line here; packages of others add theirs through the entry points edgeft.meter. An entry
# is called with (World, what the user wrote behind the name and a colon) and returns a Counter, Power or Log.
METERS = Registry(
    "meter",
    {
        "rapl": "edgeft.evaluation.meters.rapl:Rapl",
        "rapl-psys": "edgeft.evaluation.meters.rapl:RaplPsys",
        "ina3221": "edgeft.evaluation.meters.jetson:Ina3221",
        "pi5-pmic": "edgeft.evaluation.meters.pmic:Pi5Pmic",
        "odpm": "edgeft.evaluation.meters.odpm:Odpm",
        "hwmon": "edgeft.evaluation.meters.hwmon:HwmonPower",
        "hwmon-energy": "edgeft.evaluation.meters.hwmon:HwmonEnergy",
        "nvml": "edgeft.evaluation.meters.nvml:NvmlEnergy",
        "nvml-power": "edgeft.evaluation.meters.nvml:NvmlPower",
        "powermetrics": "edgeft.evaluation.meters.powermetrics:Powermetrics",
        "battery": "edgeft.evaluation.meters.battery:Battery",
        "shelly": "edgeft.evaluation.meters.plugs:Shelly",
        "tasmota": "edgeft.evaluation.meters.plugs:Tasmota",
        "command": "edgeft.evaluation.meters.command:Command",
        "log": "edgeft.evaluation.meters.powerlog:PowerLog",
    },
)
# Meters that are part of the machine, the finest first; the others are asked only when the user names them.
LOCAL = (
    "rapl", "ina3221", "pi5-pmic", "odpm", "hwmon-energy", "hwmon", "powermetrics", "nvml", "nvml-power", "battery",
)  # fmt: skip
# How the user says what an external meter is wired to.
NAMED = "FILE.csv@wall, or 'command@wall:CMD'"
_LOG_FILE = re.compile(r"(?!(?:log|command)[:@])(?P<file>.+\.csv)(?:@(?P<coverage>[^@/]+))?")
# Kinds that profiles name and that only the user can point at.
_EXTERNAL = {
    "usb-meter": "an external meter: --meter FILE.csv or --meter 'command:CMD'",
    "plug": "an external meter: --meter shelly:HOST or --meter tasmota:HOST",
}


@dataclass(frozen=True)
class Choice:
    """The meter that will be used, as asked for; or none, and why. `tried` holds (meter, why not) of those before."""

    asked: str
    meter: Meter | None = None
    tried: tuple[tuple[str, str], ...] = ()

    @property
    def why_not(self) -> str | None:
        """None when there is a meter; the reasons of those tried stand in the record."""
        if self.meter is not None:
            return None
        if self.asked == "none":
            return "not asked for (--meter none)"
        return f"no meter works here ({', '.join(name for name, _ in self.tried)}); edgeft doctor says what would"


def make(asked: str, world: World) -> Any:
    """The meter `asked` stands for: NAME, NAME:ARGUMENT, or a power log FILE.csv. Raises UsageError for none such.

    NAME@COVERAGE:ARGUMENT and FILE.csv@COVERAGE also say what an external meter is wired to.
    """
    head, _, argument = asked.partition(":")
    name, _, coverage = head.partition("@")
    if log := _LOG_FILE.fullmatch(asked):
        name, coverage, argument = "log", log["coverage"] or "", log["file"]
    meter = METERS.load(name)(world, argument)
    if coverage and meter.coverage != EXTERNAL:
        raise UsageError(f"--meter {asked}: {name} covers {meter.coverage} and nothing else", f"--meter {name}")
    if coverage:
        meter.coverage = coverage
    return meter


def choose(
    asked: str, preferred: Sequence[str], provider: str, world: World | None = None, card: gpu.Gpu | None = None
) -> Choice:
    """What to measure with: for "auto" the first that works, the profile's `preferred` before the others.

    card   the graphics card that `provider` runs on, where it is known: of several, it is the one to be measured

    Raises UsageError for a meter that does not exist, MachineError for one the user named that does not work here.
    """
    world = world or World()
    if asked == "none":
        return Choice(asked)
    if asked != "auto":
        meter = make(asked, world)
        reason = meter.available() or gpu.other_card(meter, card)
        if reason is not None:
            raise MachineError(f"the meter {asked} cannot measure here: {reason}", "edgeft doctor lists the meters")
        return Choice(asked, meter)
    tried: list[tuple[str, str]] = []
    for name, found, reason in _local(preferred, provider, world, card):
        if reason is None:
            return Choice(name, found, tuple(tried))
        tried.append((name, reason))
    return Choice(asked, None, tuple(tried))


def _local(
    preferred: Sequence[str], provider: str, world: World, card: gpu.Gpu | None
) -> Iterator[tuple[str, Meter | None, str | None]]:
    on_gpu = gpu.runs_on(provider)
    first = ("nvml", "nvml-power", *preferred) if on_gpu else preferred
    for name in dict.fromkeys((*first, *LOCAL)):
        if name in _EXTERNAL:
            yield name, None, _EXTERNAL[name]
        elif name.startswith("nvml") and not on_gpu:
            yield name, None, f"it covers the graphics card, and {provider} does not run there"
        else:
            asked = f"{name}:{card.uuid}" if name.startswith("nvml") and card is not None and card.uuid else name
            meter = make(asked, world)
            yield asked, meter, meter.available()


def known(world: World) -> list[tuple[str, Meter, str | None]]:
    """(name, meter, why it does not work or None) of all meters of the machine, for `edgeft doctor`."""
    meters = [(name, make(name, world)) for name in LOCAL]
    return [(name, meter, meter.available()) for name, meter in meters]


def not_measured(reason: str, tried: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    return {"status": "not_measured", "reason": reason, **tried_record(tried)}


def tried_record(tried: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """{"tried": meters asked before the one used and why each could not}; empty when none was."""
    return {"tried": [{"meter": name, "why_not": str(why)} for name, why in tried]} if tried else {}


__all__ = [
    "EXTERNAL", "LOCAL", "METERS", "NAMED", "Choice", "Counter", "Log", "Meter", "Power", "Unavailable", "World",
    "choose", "known", "make", "not_measured", "tried_record",
]  # fmt: skip
