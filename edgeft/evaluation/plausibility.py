"""Figures far from anything published for this board: something is wrong with the measurement, or with what ran.

The profile's plausibility holds what others published, of other engines too: it raises a flag, nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgeft.evaluation.energy_figures import Energy
from edgeft.evaluation.validity import Flag, flag

# Engines differ by several times, never by so much.
LATENCY_FACTOR = 10
# Boards of one kind differ by their supplies and what is plugged in.
POWER_FACTOR = 2
# Input that the published latencies are of.
_SIZE = (224, 224)


def flags(
    published: Mapping[str, Any], profile_id: str, bundle: Mapping[str, Any], variants: Mapping[str, Any],
    energy: Energy,
) -> Iterator[Flag]:  # fmt: skip
    """published: the profile's plausibility; bundle: the manifest; variants: those of the result."""
    yield from _latencies(published, profile_id, bundle, variants)
    yield from _powers(published, profile_id, energy)


def _latencies(
    published: Mapping[str, Any], profile_id: str, bundle: Mapping[str, Any], variants: Mapping[str, Any]
) -> Iterator[Flag]:
    """Of models that are called as a published one, at its input size."""
    shape = bundle["preprocessing"]
    if (shape.get("height"), shape.get("width")) != _SIZE:
        return
    called = _letters(str(bundle.get("provenance", {}).get("model", "")))
    for key, (low, high) in published.items():
        model, _, unit = key.rpartition("_")
        if unit != "ms" or _letters(model) not in called:
            continue
        for name, variant in variants.items():
            ms = 1000 * variant["latency"]["p50_s"] / variant["latency"]["batch"]
            if not low / LATENCY_FACTOR <= ms <= high * LATENCY_FACTOR:
                evidence = f"{name} takes {ms:.3g} ms; {model} is published with {low:g} to {high:g} ms on {profile_id}"
                yield {**flag("implausible_latency", "warning", f"{evidence}: check provider and timing"),
                       "variant": name}  # fmt: skip


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _powers(published: Mapping[str, Any], profile_id: str, energy: Energy) -> Iterator[Flag]:
    """At the wall, as they are published."""
    if energy.choice.meter is None or energy.choice.meter.coverage != "wall":
        return
    measured = {
        "idle_w": [one.watts for one in energy.idles],
        "load_w": [window.watts for _, window in energy.blocks],
    }
    for key, watts in measured.items():
        if key not in published or not watts:
            continue
        low, high = published[key]
        mean_w = sum(watts) / len(watts)
        if not low / POWER_FACTOR <= mean_w <= high * POWER_FACTOR:
            yield flag(
                "implausible_power", "warning", f"{mean_w:.3g} W {'idle' if key == 'idle_w' else 'under load'}; "
                f"{low:g} to {high:g} W are published for {profile_id}: check what else the meter feeds", "energy"
            )  # fmt: skip
