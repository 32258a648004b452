"""Energy: measured by a meter that says what it covers, or not measured and why. No figure is ever made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from edgeft.errors import MachineError
from edgeft.registry import Registry


class Meter(Protocol):
    """Something that knows joules.

    name      as the user types it
    coverage  what the figure includes, as it stands in every sentence: "CPU package", "module", "wall"
    """

    name: str
    coverage: str

    def available(self) -> str | None:
        """None when it can measure here and now, else why not and what would help."""
        ...


# A meter is one file and one line here; packages of others add theirs through the entry points edgeft.meter.
METERS = Registry("meter", {})


def not_measured(reason: str) -> dict[str, Any]:
    return {"status": "not_measured", "reason": reason}


def why_not(asked: str) -> str:
    """Why this evaluation measures no energy. Raises UsageError for a meter that does not exist.

    `asked` is auto, none, a meter's name or a power log FILE.csv.
    """
    if asked == "none":
        return "not asked for (--meter none)"
    if asked == "auto":
        return "no energy meter in this version"
    if Path(asked).suffix == ".csv":
        raise MachineError(f"power logs like {asked} cannot be read yet", "leave --meter out: energy is then absent")
    METERS.load(asked)
    return f"the meter {asked} has no energy pass in this version"
