"""Which hardware profile fits a machine, and why.

A profile has one or more sets of rules, and fits when all rules of one set do:

    architecture                        as `uname -m` has it
    system                              "android"
    board, soc, cpu_model               patterns for the board's name, its device-tree "compatible" names, the processor
    implementer, cpu_part               MIDR numbers of ARM cores; of a list of parts, every kind must be there
    all_flags, any_flags, without_flags instruction sets
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.cpu import Cpu, read_cpu
from edgeft.machine import board_model, operating_system, soc_names
from edgeft.profile import GENERIC, Profile, load_profile, profile_names

# How much a rule that fits says: a board's own name more than a processor's, that more than an instruction set. Parts
# count for each kind of core.
_WEIGHT = {
    "board": 1000, "soc": 1000, "cpu_model": 100, "cpu_part": 10, "system": 4, "any_flags": 3, "all_flags": 2,
    "without_flags": 1,
}  # fmt: skip
# Rules that settle it where the machine gives the name; where it does not, the processor's parts decide.
_NAMES = ("board", "soc")


@dataclass(frozen=True)
class Machine:
    """What rules are held against; None or empty where the machine does not say."""

    cpu: Cpu
    board: str | None = None
    soc: tuple[str, ...] = ()
    system: str | None = None

    @staticmethod
    def read(root: Path = Path("/")) -> Machine:
        return Machine(read_cpu(root), board_model(root), soc_names(root), operating_system(root))


@dataclass(frozen=True)
class Candidate:
    """A profile held against a machine: `weight` of the rules that fit, or 0; `reasons` in words."""

    profile: Profile
    weight: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Detection:
    best: Candidate
    others: tuple[Candidate, ...]


def detection(root: Path = Path("/")) -> Detection:
    """Every profile held against the machine below `root`, the best first, `generic` after all that fit."""
    machine = Machine.read(root)
    tried = [_hold_against(load_profile(name), machine) for name in profile_names() if name != GENERIC]
    tried.sort(key=lambda candidate: (-candidate.weight, candidate.profile.id))
    generic = Candidate(load_profile(GENERIC), 1, ("runs on every processor",))
    fits = [candidate for candidate in tried if candidate.weight > 0]
    ordered = [*fits, generic, *(candidate for candidate in tried if candidate.weight == 0)]
    return Detection(ordered[0], tuple(ordered[1:]))


def _hold_against(profile: Profile, machine: Machine) -> Candidate:
    """The set of rules that fits best; when none does, what speaks against the first."""
    if not profile.detect:
        return Candidate(profile, 0, ("it has no rules to detect it by",))
    held = [_hold_rules(rules, machine) for rules in profile.detect]
    weight, reasons = max(held, key=lambda one: one[0])
    return Candidate(profile, weight, reasons if weight else held[0][1])


def _hold_rules(given: Mapping[str, Any], machine: Machine) -> tuple[int, tuple[str, ...]]:
    """(weight, reasons); weight 0 and what does not fit, as soon as one rule does not."""
    rules = _deciding(dict(given), machine)
    answers = [(name, *_RULES[name](wanted, machine)) for name, wanted in rules.items()]
    refused = tuple(reason for _, fits, reason in answers if not fits)
    if refused:
        return 0, refused
    weight = sum(_WEIGHT.get(name, 0) * _kinds(name, rules[name]) for name, *_ in answers)
    return weight, tuple(reason for *_, reason in answers)


def _deciding(rules: dict[str, Any], machine: Machine) -> dict[str, Any]:
    names = [name for name in _NAMES if name in rules]
    if not names or "cpu_part" not in rules:
        return rules
    dropped = ["cpu_part"] if any(getattr(machine, name) for name in names) else names
    return {name: wanted for name, wanted in rules.items() if name not in dropped}


def _kinds(name: str, wanted: Any) -> int:
    return len(wanted) if name == "cpu_part" and isinstance(wanted, list) else 1


def _architecture(wanted: str, machine: Machine) -> tuple[bool, str]:
    return machine.cpu.architecture == wanted, f"the architecture is {machine.cpu.architecture}"


def _system(wanted: str, machine: Machine) -> tuple[bool, str]:
    return machine.system == wanted, f"the system is {machine.system or 'not known'}"


def _board(wanted: str, machine: Machine) -> tuple[bool, str]:
    return bool(machine.board and re.search(wanted, machine.board)), f"the board is {machine.board or 'not named'}"


def _soc(wanted: str, machine: Machine) -> tuple[bool, str]:
    fitting = [name for name in machine.soc if re.search(wanted, name)]
    return bool(fitting), f"the board is compatible with {', '.join(fitting or machine.soc) or 'nothing named'}"


def _cpu_model(wanted: str, machine: Machine) -> tuple[bool, str]:
    model = machine.cpu.model
    return bool(model and re.search(wanted, model)), f"the processor is {model or 'not named'}"


def _implementer(wanted: str, machine: Machine) -> tuple[bool, str]:
    found = machine.cpu.implementer
    return found == wanted, f"the cores are by implementer {found or 'unknown'}"


def _cpu_part(wanted: str | list[str], machine: Machine) -> tuple[bool, str]:
    parts = [wanted] if isinstance(wanted, str) else wanted
    shown = f"the cores are of part {', '.join(machine.cpu.parts) or 'unknown'}"
    return set(parts) <= set(machine.cpu.parts), shown


def _all_flags(wanted: list[str], machine: Machine) -> tuple[bool, str]:
    lacking = [flag for flag in wanted if flag not in machine.cpu.flags]
    return not lacking, f"the processor lacks {', '.join(lacking)}" if lacking else f"it has {', '.join(wanted)}"


def _any_flags(wanted: list[str], machine: Machine) -> tuple[bool, str]:
    found = [flag for flag in wanted if flag in machine.cpu.flags]
    return bool(found), f"it has {', '.join(found)}" if found else f"the processor has none of {', '.join(wanted)}"


def _without_flags(wanted: list[str], machine: Machine) -> tuple[bool, str]:
    found = [flag for flag in wanted if flag in machine.cpu.flags]
    return not found, f"it has {', '.join(found)}" if found else f"it is without {', '.join(wanted)}"


_RULES: Mapping[str, Callable[[Any, Machine], tuple[bool, str]]] = {
    "architecture": _architecture,
    "system": _system,
    "board": _board,
    "soc": _soc,
    "cpu_model": _cpu_model,
    "implementer": _implementer,
    "cpu_part": _cpu_part,
    "all_flags": _all_flags,
    "any_flags": _any_flags,
    "without_flags": _without_flags,
}


def describe_detection(found: Detection) -> str:
    """The profile's name alone in the first line, then why, then what else was considered."""
    best = found.best.profile
    lines = [best.id, f"  {best.title}: {'; '.join(found.best.reasons)}", "", "also considered:"]
    for other in found.others:
        verdict = "fits too, less closely: " if other.weight else ""
        lines.append(f"  {other.profile.id:<22}{verdict}{'; '.join(other.reasons)}")
    return "\n".join(lines)
