"""Budgets: what a compressed model must keep to, as in "accuracy>=-1pt,latency_p90<=20ms,size<=10MB".

A limit is absolute (20ms, 10MB, accuracy>=92%) or against the baseline (0.5x of it, accuracy>=-1pt).
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from edgeft.errors import did_you_mean

# Decimal prefixes for stored bytes, as disk makers and download pages count; KiB and MiB are binary.
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 1024.0, "MIB": 1024.0**2, "GIB": 1024.0**3}
_SECONDS = {"S": 1.0, "MS": 1e-3, "US": 1e-6}
_JOULES = {"J": 1.0, "MJ": 1e-3}  # mJ: units are compared in capitals, and nobody budgets megajoules

_TIMES = {"X": 1.0}

# quantity -> unit in capitals -> factor to the base unit (share of 1, seconds, joules, bytes, times the baseline)
QUANTITIES: dict[str, dict[str, float]] = {
    "accuracy": {"PT": 0.01, "%": 0.01},
    "latency_p50": _SECONDS | _TIMES,
    "latency_p90": _SECONDS | _TIMES,
    "latency_p99": _SECONDS | _TIMES,
    "energy": _JOULES | _TIMES,
    "size": _BYTES | _TIMES,
    "memory": _BYTES | _TIMES,
}
# What a unit other than these compares: the value itself.
_AGAINST = {"PT": "difference", "X": "ratio"}
# What figures can be at all: least, most, and in words.
_ACCURACY = {
    "value": (0.0, 1.0, "accuracy lies between 0 % and 100 %"),
    "difference": (-1.0, 1.0, "accuracies differ by at most 100 points"),
}
_COST = (sys.float_info.min, sys.float_info.max, "no model takes nothing")
_LIMIT = re.compile(r"\s*([a-z_0-9]+)\s*(<=|>=)\s*([+-]?\d*\.?\d+)\s*([A-Za-z]+|%|)\s*")


@dataclass(frozen=True)
class Limit:
    """One limit of a budget.

    text      as the user wrote it
    quantity  accuracy (a share of 1), latency_p50/_p90/_p99 (seconds), energy (joules an inference), size and
              memory (bytes)
    relation  "<=" or ">="
    bound     in the base unit
    compares  "value"; "difference" from the baseline, or "ratio" to it
    """

    text: str
    quantity: str
    relation: str
    bound: float
    compares: str = "value"

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.relation == "<=" else value >= self.bound


def parse_budget(text: str) -> tuple[Limit, ...]:
    """The limits in `text`. Raises ValueError that says what would have been right."""
    return tuple(_limit(part) for part in text.split(","))


def _limit(part: str) -> Limit:
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise ValueError(f"{part.strip()!r} is not a limit; write one as latency_p90<=20ms or accuracy>=-1pt")
    quantity, relation, number, unit = match.groups()
    if quantity not in QUANTITIES:
        raise ValueError(f"nothing is called {quantity!r} in a budget, {did_you_mean(quantity, QUANTITIES)}")
    units = QUANTITIES[quantity]
    if not unit:
        raise ValueError(f"{part.strip()!r} has no unit; write one of {', '.join(_spelled(units))} behind the number")
    if unit.upper() not in units:
        raise ValueError(f"{quantity} is not counted in {unit!r}, use {' or '.join(_spelled(units))}")
    if (quantity == "accuracy") != (relation == ">="):
        raise ValueError(f"{part.strip()!r} would ask for a worse model; turn {relation} round")
    bound, compares = float(number) * units[unit.upper()], _AGAINST.get(unit.upper(), "value")
    _refuse_unreachable(part.strip(), bound, *(_ACCURACY[compares] if quantity == "accuracy" else _COST))
    return Limit(part.strip(), quantity, relation, bound, compares)


def _refuse_unreachable(part: str, bound: float, low: float, high: float, words: str) -> None:
    if not low <= bound <= high:
        raise ValueError(f"{part!r} is kept by every model or by none: {words}")


def _spelled(units: dict[str, float]) -> list[str]:
    spelling = {
        "PT": "pt", "X": "x", "S": "s", "MS": "ms", "US": "us", "MJ": "mJ", "KIB": "KiB", "MIB": "MiB", "GIB": "GiB",
    }  # fmt: skip
    return [spelling.get(unit, unit) for unit in units]
