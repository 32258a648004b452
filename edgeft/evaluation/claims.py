"""Sentences a person may quote: each says only what the bound of its interval supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeft.evaluation.stats import Ratio

# A speed ratio nearer to 1 than this is not told from noise: A/A runs spread by about so much.
NOISE_FLOOR = 0.02


def speed_verdict(ratio: Ratio) -> str:
    """ "faster" or "slower" only when the whole interval lies beyond the noise floor."""
    if ratio.low is None or ratio.high is None:
        return "undecided"
    if ratio.low > 1 + NOISE_FLOOR:
        return "faster"
    if ratio.high < 1 / (1 + NOISE_FLOOR):
        return "slower"
    if ratio.low > 1 / (1 + NOISE_FLOOR) and ratio.high < 1 + NOISE_FLOOR:
        return "same"
    return "undecided"


def claims(
    comparisons: Mapping[str, Mapping[str, Any]], baseline: str, flags: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """[{text, basis, valid}]; valid is False when a flag of severity "invalid" touches what the claim rests on."""
    broken = {part for entry in flags if entry["severity"] == "invalid" for part in _parts(entry["affects"])}
    found = []
    for name, comparison in comparisons.items():
        for about, text, basis in _of_one(name, comparison, baseline):
            found.append({"text": text, "basis": basis, "valid": about not in broken})
    return found


def _parts(affects: str) -> tuple[str, ...]:
    return ("accuracy", "latency") if affects == "all" else (affects,)


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
            "same": f"{name} is as fast as {baseline} within {NOISE_FLOOR:.0%}",
        }.get(latency["verdict"], f"no difference in speed between {name} and {baseline} is shown")
        found.append(("latency", text, basis))
    return found


def _accuracy_text(name: str, accuracy: Mapping[str, Any], baseline: str) -> str:
    margin = 100 * accuracy["margin"]
    if accuracy["verdict"] == "not worse":
        return f"{name} is not worse than {baseline} by more than {margin:.2f} points"
    if accuracy["verdict"] == "worse":
        return f"{name} is worse than {baseline} (estimate {100 * accuracy['diff']:+.2f} points)"
    needed = f"; about {accuracy['needs_n']} samples would decide" if "needs_n" in accuracy else ""
    return f"whether {name} is worse than {baseline} by {margin:.2f} points is undecided{needed}"


def _floor(value: float) -> str:
    return f"{int(value * 100) / 100:.2f}"


def _ceil(value: float) -> str:
    return f"{-int(-value * 100 // 1) / 100:.2f}"
