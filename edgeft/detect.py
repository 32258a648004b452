"""Which hardware profile fits a machine, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.cpu import Cpu, read_cpu
from edgeft.machine import board_model
from edgeft.profile import GENERIC, Profile, load_profile, profile_names

# How much a rule that fits says: a board's own name more than a processor's, that more than an instruction set.
_WEIGHT = {"board": 1000, "cpu_model": 100, "cpu_part": 10, "any_flags": 3, "all_flags": 2, "without_flags": 1}


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
    cpu, board = read_cpu(root), board_model(root)
    tried = [_hold_against(load_profile(name), cpu, board) for name in profile_names() if name != GENERIC]
    tried.sort(key=lambda candidate: (-candidate.weight, candidate.profile.id))
    generic = Candidate(load_profile(GENERIC), 1, ("runs on every processor",))
    fits = [candidate for candidate in tried if candidate.weight > 0]
    ordered = [*fits, generic, *(candidate for candidate in tried if candidate.weight == 0)]
    return Detection(ordered[0], tuple(ordered[1:]))


def _hold_against(profile: Profile, cpu: Cpu, board: str | None) -> Candidate:
    """A board's name settles it; the processor's part decides only where no board's name is known."""
    rules = dict(profile.detect)
    if not rules:
        return Candidate(profile, 0, ("it has no rules to detect it by",))
    if "board" in rules and board:
        rules.pop("cpu_part", None)
    elif "board" in rules and "cpu_part" in rules:
        rules.pop("board")
    answers = [(name, *_RULES[name](wanted, cpu, board)) for name, wanted in rules.items()]
    refused = tuple(reason for _, fits, reason in answers if not fits)
    if refused:
        return Candidate(profile, 0, refused)
    weight = sum(_WEIGHT.get(name, 0) for name, *_ in answers)
    return Candidate(profile, weight, tuple(reason for *_, reason in answers))


def _architecture(wanted: str, cpu: Cpu, board: str | None) -> tuple[bool, str]:
    return cpu.architecture == wanted, f"the architecture is {cpu.architecture}"


def _board(wanted: str, cpu: Cpu, board: str | None) -> tuple[bool, str]:
    return bool(board and re.search(wanted, board)), f"the board is {board or 'not named'}"


def _cpu_model(wanted: str, cpu: Cpu, board: str | None) -> tuple[bool, str]:
    return bool(cpu.model and re.search(wanted, cpu.model)), f"the processor is {cpu.model or 'not named'}"


def _cpu_part(wanted: str, cpu: Cpu, board: str | None) -> tuple[bool, str]:
    return wanted in cpu.parts, f"the cores are of part {', '.join(cpu.parts) or 'unknown'}"


def _all_flags(wanted: list[str], cpu: Cpu, board: str | None) -> tuple[bool, str]:
    lacking = [flag for flag in wanted if flag not in cpu.flags]
    return not lacking, f"the processor lacks {', '.join(lacking)}" if lacking else f"it has {', '.join(wanted)}"


def _any_flags(wanted: list[str], cpu: Cpu, board: str | None) -> tuple[bool, str]:
    found = [flag for flag in wanted if flag in cpu.flags]
    return bool(found), f"it has {', '.join(found)}" if found else f"the processor has none of {', '.join(wanted)}"


def _without_flags(wanted: list[str], cpu: Cpu, board: str | None) -> tuple[bool, str]:
    found = [flag for flag in wanted if flag in cpu.flags]
    return not found, f"it has {', '.join(found)}" if found else f"it is without {', '.join(wanted)}"


_RULES: Mapping[str, Callable[[Any, Cpu, str | None], tuple[bool, str]]] = {
    "architecture": _architecture,
    "board": _board,
    "cpu_model": _cpu_model,
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
