"""Checking a budget: which variants keep every limit, and which of those wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

from edgeft.budget import QUANTITIES, Limit, parse_budget
from edgeft.errors import MachineError, UsageError


def refuse_unmeasurable(limits: Sequence[Limit], why_no_energy: str | None, percentiles: Sequence[float]) -> None:
    """Say before the long run that a limit cannot be checked. Raises MachineError, UsageError."""
    for limit in limits:
        if limit.quantity == "energy" and why_no_energy is not None:
            raise MachineError(
                f"the budget has {limit.text!r}, and energy cannot be measured here: {why_no_energy}",
                "leave energy out of --budget",
            )
        if limit.quantity == "latency_p99" and 0.99 not in percentiles:
            raise UsageError(f"the budget has {limit.text!r}, and this preset gives no p99", "use --preset standard")


def refuse_unmeasured_memory(limits: Sequence[Limit], peak_bytes: int | None) -> None:
    """peak_bytes: of this process, None where the system does not say. Raises MachineError."""
    for limit in limits:
        if limit.quantity == "memory" and peak_bytes is None:
            raise MachineError(
                f"the budget has {limit.text!r}, and this system does not say how much memory a process took",
                "leave memory out of --budget",
            )


def refuse_empty(limits: Sequence[Limit], junit: Path | None) -> None:
    """Raises UsageError when a budget is to be written and there is none."""
    if junit is not None and not limits:
        raise UsageError(f"--junit {junit} would hold no budget", "add --budget, as in --budget size<=10MB")


_PLACES: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy", "value"),
    "latency_p50": ("latency", "p50_s"),
    "latency_p90": ("latency", "p90_s"),
    "latency_p99": ("latency", "p99_s"),
    "energy": ("energy", "gross_j"),
    "size": ("size_bytes",),
    "memory": ("memory", "peak_rss_bytes"),
}


def value_of(limit: Limit, name: str, document: Mapping[str, Any]) -> float | None:
    """What `limit` is about for one variant, in its base unit; None when it was not measured.

    p90 and p99 are early-stopping estimates; joules that were modelled were not measured.
    """
    return _COMPARED[limit.compares](limit.quantity, name, document)


def _plain(quantity: str, name: str, document: Mapping[str, Any]) -> float | None:
    found: Any = document["variants"][name]
    if quantity == "energy" and found["energy"].get("status") == "modelled":
        return None
    for key in _PLACES[quantity]:
        found = found.get(key, {})
    return None if found == {} else float(found)


def _difference(quantity: str, name: str, document: Mapping[str, Any]) -> float | None:
    if name == document["baseline"]:
        return 0.0
    return float(document["comparisons"][name][quantity]["diff"])


def _ratio(quantity: str, name: str, document: Mapping[str, Any]) -> float | None:
    value, base = (_plain(quantity, one, document) for one in (name, document["baseline"]))
    return None if value is None or not base else value / base


_COMPARED = {"value": _plain, "difference": _difference, "ratio": _ratio}


def check(limits: Sequence[Limit], document: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """([{text, passed, value, variant, by_variant}], winner).

    The winner keeps every limit with the least energy, else the least median latency. Without one, the top-level
    figures are those of the variant that misses the fewest limits. What was not measured does not pass.
    """
    names = list(document["variants"])
    held = {name: [_holds(limit, name, document) for limit in limits] for name in names}
    full = [name for name in names if all(held[name])]
    # When all miss, the reader wants to know how near the compressed variants came, not the baseline.
    nearest = sorted(
        names, key=lambda name: (held[name].count(False), name == document["baseline"], _cost(name, document))
    )
    best = min(full, key=lambda name: _cost(name, document)) if full else nearest[0]
    lines = []
    for i, limit in enumerate(limits):
        by_variant = {name: _entry(held[name][i], value_of(limit, name, document)) for name in names}
        lines.append({"text": limit.text, **by_variant[best], "variant": best, "by_variant": by_variant})
    return lines, best if full else None


def _holds(limit: Limit, name: str, document: Mapping[str, Any]) -> bool:
    value = value_of(limit, name, document)
    return value is not None and limit.holds(value)


def _entry(passed: bool, value: float | None) -> dict[str, Any]:
    return {"passed": passed} if value is None else {"passed": passed, "value": value}


def _cost(name: str, document: Mapping[str, Any]) -> tuple[float, float]:
    variant = document["variants"][name]
    part = variant["energy"]
    joules = float("inf") if part.get("status") == "modelled" else part.get("gross_j", float("inf"))
    return joules, variant["latency"]["p50_s"]


def missed_text(line: Mapping[str, Any]) -> str:
    """As in: latency_p90<=20ms (int8 has 23.1 ms)."""
    if "value" not in line:
        return f"{line['text']} (not measured)"
    return f"{line['text']} ({line['variant']} has {spelled(line['text'], line['value'])})"


def spelled(text: str, value: float) -> str:
    """`value` in the unit the limit `text` is written in."""
    quantity = parse_budget(text)[0].quantity
    unit = text.strip()[len(text.strip().rstrip(ascii_letters + "%")) :]
    return f"{value / QUANTITIES[quantity][unit.upper()]:.4g} {unit}"
