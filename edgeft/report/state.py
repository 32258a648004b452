"""The state of the machine under a result, in words: clocks, heat, power, confinement. What is unknown has no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]
_GIB = 2**30
_SOURCES = {"ac": "mains", "battery": "battery"}


def rows(document: Document) -> list[tuple[str, str]]:
    """(what, how it stood), of what the machine said of itself."""
    system, runtime, shots = document["system"], document["runtime"], list(_shots(document))
    start = document.get("checks", {}).get("start", {})
    found = [
        ("clocks", _clocks(system, shots)),
        ("temperature", [*_span(shots, "temperature_c", "C"), *_span(shots, "gpu_temperature_c", "C, graphics card")]),
        ("power", _power(system)),
        ("surroundings", _surroundings(system)),
        ("processors", _processors(system, runtime)),
        ("memory", _memory(system, start)),
        ("load", [f"{start['load_1min']:.2f} at the start (1-minute average)"] if "load_1min" in start else []),
        ("session", _session(runtime)),
    ]
    return [(what, "; ".join(said)) for what, said in found if said]


def _shots(document: Document) -> Iterator[Document]:
    """The machine before and after every block of the latency pass."""
    for variant in document["variants"].values():
        for block in variant["latency"]["blocks"]:
            yield from (block[when] for when in ("before", "after") if when in block)


def _span(shots: Sequence[Document], key: str, unit: str) -> list[str]:
    """From the lowest to the highest over all blocks."""
    values = [shot[key] for shot in shots if key in shot]
    if not values:
        return []
    low, high = (f"{value:.0f}" for value in (min(values), max(values)))
    return [f"{low if low == high else f'{low} to {high}'} {unit}"]


def _clocks(system: Document, shots: Sequence[Document]) -> list[str]:
    governor = [f"governor {system['governor']}"] if "governor" in system else []
    most = [f"highest {' and '.join(map(str, dict.fromkeys(system['max_mhz'])))} MHz"] if "max_mhz" in system else []
    gpu = _span(shots, "gpu_mhz", "MHz, graphics card")
    gpu += [f"graphics card at most {system['gpu']['max_mhz']} MHz"] if "max_mhz" in system.get("gpu", {}) else []
    return [*governor, *_span(shots, "mhz", "MHz"), *most, *gpu]


def _power(system: Document) -> list[str]:
    source = [_SOURCES[system["power_source"]]] if system.get("power_source") in _SOURCES else []
    mode = [f"mode {' '.join(str(system['power_mode']).split())}"] if "power_mode" in system else []
    limit = system.get("gpu", {}).get("power_limit_w")
    bits = [f"throttled={system['throttled']}"] if system.get("throttled", "0x0") != "0x0" else []
    return [*source, *mode, *([f"graphics card limited to {limit:g} W"] if limit is not None else []), *bits]


def _surroundings(system: Document) -> list[str]:
    """What a person stated, for the machine cannot say it."""
    names = {"psu": "power supply", "ram_type": "memory", "ambient_c": "air in C"}
    said = [f"{names.get(key, key)} {system[key]}" for key in system.get("stated", ())]
    return [f"{', '.join(said)} (as stated)"] if said else []


def _processors(system: Document, runtime: Document) -> list[str]:
    logical, allowed = system.get("cores", {}).get("logical"), system.get("allowed_cpus")
    found = [f"{allowed} of {logical} may be used"] if allowed is not None and logical else []
    found += [f"kept to {', '.join(map(str, runtime['affinity']))}"] if runtime.get("affinity") else []
    quota = system.get("cgroup_cpu_quota")
    return [*found, *([f"container limit {quota:g} CPUs"] if quota is not None else [])]


def _memory(system: Document, start: Document) -> list[str]:
    found = [f"{system['ram_bytes'] / _GIB:.3g} GiB"] if "ram_bytes" in system else []
    found += [system["ram_type"]] if "ram_type" in system and "ram_type" not in system.get("stated", ()) else []
    found += [f"{start['available_bytes'] / _GIB:.3g} GiB free at the start"] if "available_bytes" in start else []
    limit, swap = system.get("cgroup_memory_bytes"), system.get("swap", {})
    found += [f"container limit {limit / _GIB:.3g} GiB"] if limit is not None else []
    used = f"swap {swap.get('used_bytes', 0) / _GIB:.2g} of {swap.get('total_bytes', 0) / _GIB:.2g} GiB used"
    return [*found, *([used] if swap.get("total_bytes") else [])]


def _session(runtime: Document) -> list[str]:
    """Further options of session and provider, which the profile sets."""
    parts = [runtime.get(name, {}) for name in ("session_options", "session_config", "ep_options")]
    return [f"{name} = {value}" for part in parts for name, value in part.items()]
