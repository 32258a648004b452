"""Everything that speaks against a result, gathered from all passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeft import machine
from edgeft.evaluation import aa, validity
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Series
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import Settings


def gather(
    document: Mapping[str, Any], start: Snapshot, settings: Settings, preset: Preset, samples: Samples,
    limit: int | None, series: Mapping[str, Series], probes: Mapping[str, list[Probe]], probe_s: tuple[float, float],
) -> list[validity.Flag]:  # fmt: skip
    """What speaks against accuracy and latency."""
    baseline, largest = document["baseline"], max(one["size_bytes"] for one in document["variants"].values())
    found = [*validity.before_flags(start, machine.allowed_cpus(), settings, preset, largest)]
    found += [*validity.machine_flags(series, probe_s), *aa.flags(aa.check(series, baseline))]
    for name in document["variants"]:
        one = series[name]
        speed = document["comparisons"].get(name, {}).get("latency", {})
        scheme = str(document["variants"][name].get("scheme", "float32"))
        about = [
            *validity.series_flags(name, one, preset),
            *validity.provider_flags(name, probes[name][0], settings),
            *validity.integer_flags(name, probes[name][0], scheme, speed.get("verdict")),
            *validity.drift_flag(name, series[baseline].block_p50_s(), one.block_p50_s()),
        ]
        found += [{**entry, "variant": name} for entry in about]
    found += validity.sample_flags(samples.unreadable, len(samples), len(samples.cut), limit)
    if not document["data"]["reference_input_checked"]:
        found.append(validity.no_reference())
    if "resumed" in document:
        found.append(validity.resumed(document["resumed"]))
    return found


def verdict(found: Sequence[validity.Flag]) -> dict[str, Any]:
    """The part "validity" of a result."""
    return {"valid": all(flag["severity"] != "invalid" for flag in found), "flags": worst_first(found)}


def worst_first(found: Sequence[validity.Flag]) -> list[validity.Flag]:
    return sorted(found, key=lambda one: ("invalid", "warning", "note").index(one["severity"]))
