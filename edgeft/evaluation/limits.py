"""Checking a budget: which variants keep every limit, and which of those wins."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

from edgeft.budget import QUANTITIES, Limit, parse_budget
from edgeft.errors import MachineError, UsageError
from edgeft.evaluation.broken import broken


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
    """Raises UsageError when a budget is to be written and there is none, or no place for it: known before hours of
    measuring rather than after."""
    if junit is None:
        return
    if not limits:
        raise UsageError(f"--junit {junit} would hold no budget", "add --budget, as in --budget size<=10MB")
    if Path(junit).is_dir():
        raise UsageError(f"--junit {junit} is a folder", "give the name of a file")
    try:
        Path(junit).parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=Path(junit).parent):
            pass
    except OSError as error:
        raise UsageError(f"--junit {junit} cannot be written: {error.strerror}", "give a file elsewhere") from error


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
    figures are those of the variant that misses the fewest limits. What was not measured does not pass, nor does a
    figure that is not valid, whatever it is: the entry says why as "not_valid".
    """
    names = list(document["variants"])
    entries = {name: [_entry(limit, name, document) for limit in limits] for name in names}
    # When all miss, the reader wants to know how near the compressed variants came, not the baseline.
    missed = {
        name: (sum(not one["passed"] for one in entries[name]), name == document["baseline"]) for name in names
    }
    full = [name for name in names if missed[name][0] == 0]
    best = _least(full or [name for name in names if missed[name] == min(missed.values())], document)
    lines = []
    for i, limit in enumerate(limits):
        by_variant = {name: entries[name][i] for name in names}
        lines.append({"text": limit.text, **by_variant[best], "variant": best, "by_variant": by_variant})
    return lines, best if full else None


def _entry(limit: Limit, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    value, compared = value_of(limit, name, document), () if limit.compares == "value" else (document["baseline"],)
    why = None if value is None else _spoiled(limit.quantity, document, name, *compared)
    passed = value is not None and why is None and limit.holds(value)
    # Joules say nothing without what they are of, wherever the limit is told.
    covers = document["variants"][name]["energy"].get("coverage") if limit.quantity == "energy" else None
    return {"passed": passed} | _known(value=value, coverage=None if value is None else covers, not_valid=why)


def _known(**entries: Any) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not None}


def _spoiled(quantity: str, document: Mapping[str, Any], *names: str) -> str | None:
    """Why the figure of these variants is not valid, or None."""
    return broken(document["validity"]["flags"], *names).get(_PLACES[quantity][0])


# What chooses between variants that all keep the budget: the first that is known, and valid, for every one of them.
_CHOOSING = ("energy", "latency_p50", "size")


def _least(names: Sequence[str], document: Mapping[str, Any]) -> str:
    costs = [{name: _plain(quantity, name, document) for name in names} for quantity in _CHOOSING
             if not any(_spoiled(quantity, document, name) for name in names)]  # fmt: skip
    known = next(cost for cost in costs if None not in cost.values())
    return min(names, key=lambda name: known[name] or 0.0)


def missed_text(line: Mapping[str, Any]) -> str:
    """As in: latency_p90<=20ms (int8 has 23.1 ms)."""
    return f"{line['text']} ({line['variant']} has {held_text(line['text'], line)})" if "value" in line else (
        f"{line['text']} (not measured)")  # fmt: skip


def held_text(text: str, entry: Mapping[str, Any]) -> str:
    """What a variant has of the limit `text`, and why it does not count, in words."""
    if "value" not in entry:
        return "not measured"
    why = f", not valid: {entry['not_valid']}" if "not_valid" in entry else ""
    return spelled(text, entry["value"]) + (f" of {entry['coverage']}" if "coverage" in entry else "") + why


def spelled(text: str, value: float) -> str:
    """`value` in the unit the limit `text` is written in."""
    quantity = parse_budget(text)[0].quantity
    unit = text.strip()[len(text.strip().rstrip(ascii_letters + "%")) :]
    return f"{value / QUANTITIES[quantity][unit.upper()]:.4g} {unit}".replace(" x", "x")  # a ratio is written 0.5x
