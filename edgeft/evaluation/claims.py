"""Sentences a person may quote: each says only what the bound of its interval supports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgeft.evaluation.broken import broken
from edgeft.evaluation.stats import Ratio
from edgeft.tasks.task import METRIC_TITLES

# A speed ratio nearer to 1 than this is not told from noise: A/A runs spread by about so much.
NOISE_FLOOR = 0.02
_GOOD = ("not worse", "faster", "less", "same")


def noise_floor(aa_half_width: float = 0.0) -> float:
    """What cannot be told from noise: no less than usual, and no less than this machine's own spread where the
    baseline was measured against itself (half-width of that ratio's interval)."""
    return max(NOISE_FLOOR, aa_half_width)


def speed_verdict(ratio: Ratio, floor: float = NOISE_FLOOR) -> str:
    """ "faster" or "slower" only when the whole interval lies beyond the noise floor."""
    if ratio.low is None or ratio.high is None:
        return "undecided"
    if ratio.low > 1 + floor:
        return "faster"
    if ratio.high < 1 / (1 + floor):
        return "slower"
    if ratio.low > 1 / (1 + floor) and ratio.high < 1 + floor:
        return "same"
    return "undecided"


def claims(
    comparisons: Mapping[str, Mapping[str, Any]], baseline: str, flags: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """[{text, basis, valid, passed}]; valid is False when a flag of severity "invalid" touches what the claim rests on:
    both variants it compares, and no other. passed: it is valid, and says that the variant is as good or better."""
    found = []
    for name, comparison in comparisons.items():
        spoiled = broken(flags, name, baseline)
        for about, text, basis in _of_one(name, comparison, baseline):
            valid = about not in spoiled
            passed = valid and comparison[about]["verdict"] in _GOOD
            found.append({"text": text, "basis": basis, "valid": valid, "passed": passed})
    return found


def _of_one(name: str, comparison: Mapping[str, Any], baseline: str) -> list[tuple[str, str, str]]:
    found = []
    accuracy, latency = comparison["accuracy"], comparison.get("latency")
    low, high = accuracy["ci95"]
    basis = f"paired on {accuracy['n']} samples, 95 % interval {100 * low:+.2f} to {100 * high:+.2f} points"
    found.append(("accuracy", _accuracy_text(name, accuracy, baseline), basis))
    if latency:
        ratio, (slow, fast) = latency["speedup"], latency["ci95"]
        basis = f"medians of {latency['blocks']} alternating blocks, 95 % interval {slow:.3f} to {fast:.3f}"
        text = {
            "faster": f"{name} is at least {_floor(slow)}x as fast as {baseline} (estimate {ratio:.2f}x)",
            "slower": f"{name} is slower than {baseline}: at most {_ceil(fast)}x its speed (estimate {ratio:.2f}x)",
            "same": f"{name} is as fast as {baseline} within {100 * latency.get('noise_floor', NOISE_FLOOR):.2g}%",
        }.get(latency["verdict"], f"no difference in speed between {name} and {baseline} is shown")
        found.append(("latency", text, basis))
    if energy := comparison.get("energy"):
        found.append(("energy", *_energy(name, energy, baseline)))
    return found


def _energy(name: str, energy: Mapping[str, Any], baseline: str) -> tuple[str, str]:
    """What is covered stands in the sentence: figures of different coverage must not be compared."""
    kind = _kind(energy["coverage"])
    if "ci95" not in energy:
        return f"no difference in {kind} between {name} and {baseline} is shown", "a single pair of blocks"
    (low, high), point = energy["ci95"], energy["ratio"]
    basis = f"gross energy of {energy['blocks']} pairs of alternating blocks, 95 % interval {low:.3f} to {high:.3f}"
    text = {
        "less": f"{name} takes at least {int(100 * (1 - high))} % less {kind} than {baseline} "
        f"(estimate {100 * (1 - point):.0f} %)",
        "more": f"{name} takes more {kind} than {baseline}: at least {int(100 * (low - 1))} % "
        f"(estimate {100 * (point - 1):.0f} %)",
        "same": f"{name} takes as much {kind} as {baseline} within {NOISE_FLOOR:.0%}",
    }.get(energy["verdict"], f"no difference in {kind} between {name} and {baseline} is shown")
    return text, basis


def _kind(coverage: str) -> str:
    """As in "CPU-package energy"; a list or a remark does not make an adjective."""
    plain = re.fullmatch(r"[\w -]+", coverage)
    return f"{coverage.replace(' ', '-')} energy" if plain else f"energy ({coverage})"


def _accuracy_text(name: str, accuracy: Mapping[str, Any], baseline: str) -> str:
    margin, metric = 100 * accuracy["margin"], accuracy.get("metric")
    of = f" of {METRIC_TITLES.get(metric, metric)}" if metric else ""
    if accuracy["verdict"] == "not worse":
        return f"{name} is not worse than {baseline} by more than {margin:.2f} points{of}"
    if accuracy["verdict"] == "worse":
        return f"{name} is worse than {baseline} (estimate {100 * accuracy['diff']:+.2f} points{of})"
    needed = f"; about {accuracy['needs_n']} samples would decide" if "needs_n" in accuracy else ""
    return f"whether {name} is worse than {baseline} by {margin:.2f} points{of} is undecided{needed}"


def _floor(value: float) -> str:
    return f"{int(value * 100) / 100:.2f}"


def _ceil(value: float) -> str:
    return f"{-int(-value * 100 // 1) / 100:.2f}"
