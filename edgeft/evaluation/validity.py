"""What speaks against a result, with the evidence, printed beside it.

A flag: {"code", "severity": "invalid" | "warning" | "note", "evidence", "affects": "latency" | "accuracy" | "energy" |
"all"},
and "variant" when it is about one variant.
"invalid" means that claims about what it affects do not hold; they are printed as not valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edgeft.evaluation import stats
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Series
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.session import GRAPH_LEVELS, Settings

Flag = dict[str, Any]

# MLPerf-class checks and pyperf's: see each use for what it means.
LOAD_A_CORE = 0.2
MEMORY_TIMES = 2
DRIFT_RHO = 0.5
NOISY_CV = 0.05
CLOCK_DROP = 0.10
PROBE_CHANGE = 0.05


def flag(code: str, severity: str, evidence: str, affects: str = "latency") -> Flag:
    return {"code": code, "severity": severity, "evidence": evidence, "affects": affects}


def before_flags(
    start: Snapshot, cpus: int, settings: Settings, preset: Preset, largest_bytes: int = 0
) -> Iterator[Flag]:
    """What is known before anything is measured. largest_bytes: of the largest model's file."""
    if preset.name == "quick":
        yield flag("quick", "note", "preset quick: not for publication")
    if start.load_1min is not None and start.load_1min > LOAD_A_CORE * cpus:
        yield flag(
            "load", "warning", f"1-minute load average {start.load_1min:.2f} at the start, over "
            f"{LOAD_A_CORE:g} x {cpus} CPUs: something else is running"
        )  # fmt: skip
    if start.governors and start.governors != ("performance",):
        yield flag(
            "governor", "note", f"CPU governor is {', '.join(start.governors)}, as deployed: compare with other "
            "machines only under the same one"
        )  # fmt: skip
    if start.available_bytes is not None and start.available_bytes < MEMORY_TIMES * largest_bytes:
        yield flag(
            "memory", "warning", f"{start.available_bytes / 1e6:.0f} MB of memory are free at the start, under "
            f"{MEMORY_TIMES} x the largest model ({largest_bytes / 1e6:.0f} MB): it may be swapped"
        )  # fmt: skip
    if start.on_battery:
        yield flag("battery", "warning", "running on battery: the machine may hold its clocks down")
    if GRAPH_LEVELS.index(settings.graph_level) < GRAPH_LEVELS.index("extended"):
        yield flag(
            "graph_level", "warning", f"graph optimization is {settings.graph_level}: below extended every 8-bit "
            "model runs in float", "all"
        )  # fmt: skip


def machine_flags(series: Mapping[str, Series], probes_s: tuple[float, float]) -> Iterator[Flag]:
    """What the machine did during the latency pass; `probes_s` is the fixed loop before and after."""
    blocks = sorted((block for one in series.values() for block in one.blocks), key=lambda block: block.order)
    for sitting in sorted({block.sitting for block in blocks}):  # the kernel's counters may start anew in between
        shots = [shot for block in blocks if block.sitting == sitting for shot in (block.before, block.after)]
        yield from throttling(shots)
        yield from _swapped(shots)
    yield from environment([shot for block in blocks for shot in (block.before, block.after)])
    yield from _clock_drop([shot.mhz for shot in (block.after for block in blocks) if shot.mhz is not None])
    change = probes_s[1] / probes_s[0] - 1
    if abs(change) > PROBE_CHANGE:
        word = "slower" if change > 0 else "faster"
        yield flag("clock", "warning", f"a fixed loop ran {abs(change):.0%} {word} after the pass than before it")


# (code, severity, what, its word in a snapshot or nothing where that is unknown): what has to stay as it is.
_SAME: tuple[tuple[str, str, str, Callable[[Snapshot], str]], ...] = (
    ("governor_changed", "invalid", "the CPU governor", lambda shot: ", ".join(shot.governors)),
    ("power_changed", "invalid", "the power source", lambda shot: _WORDS["power"].get(shot.on_battery, "")),
    ("charging_changed", "warning", "the battery", lambda shot: _WORDS["charging"].get(shot.charging, "")),
)
_WORDS: Mapping[str, Mapping[bool | None, str]] = {
    "power": {True: "battery", False: "mains"},
    "charging": {True: "charging", False: "not charging"},
}


def environment(shots: Sequence[Snapshot], affects: str = "latency") -> Iterator[Flag]:
    """An environment that changed between the blocks, in any sitting: the variants did not run under the same one."""
    for code, severity, what, word in _SAME:
        words = list(dict.fromkeys(filter(None, map(word, shots))))
        if len(words) > 1:
            yield flag(code, severity, f"{what} changed while measuring: {', then '.join(words)}", affects)


def _swapped(shots: Sequence[Snapshot]) -> Iterator[Flag]:
    pages = [shot.swapped_in_pages for shot in shots if shot.swapped_in_pages is not None]
    if pages and pages[-1] > pages[0]:
        yield flag("swap", "warning", f"{pages[-1] - pages[0]} pages were read back from swap while timing")


def throttling(shots: Sequence[Snapshot], affects: str = "latency") -> Iterator[Flag]:
    counts = [shot.throttle_count for shot in shots if shot.throttle_count is not None]
    if counts and counts[-1] > counts[0]:
        yield flag("throttled", "invalid", f"{counts[-1] - counts[0]} thermal throttle events while timing", affects)
    bits = _pi_bits([shot.pi_throttled for shot in shots if shot.pi_throttled is not None])
    if bits & 0b0001:
        yield flag("under_voltage", "invalid", f"the board reports under-voltage (throttled=0x{bits:x})", "all")
    if bits & 0b1110:
        yield flag("throttled", "invalid", f"the board reports throttling (throttled=0x{bits:x})", affects)


def _pi_bits(looks: list[int]) -> int:
    """Bits 0 to 3 as they were at any look, and those that bits 16 to 19 ("has happened") say of the time between two
    looks. Bits of the latter kind that were there from the first on are of earlier days; a driver may clear them."""
    now, happened = 0, 0
    for before, after in zip(looks[:1] + looks, looks, strict=False):
        now |= after & 0xF
        happened |= after & ~before & 0xF0000
    return now | happened | happened >> 16


def _clock_drop(mhz: Sequence[float]) -> Iterator[Flag]:
    """Mean clock of the last quarter of the blocks against the first quarter."""
    quarter = len(mhz) // 4
    if quarter == 0:
        return
    first, last = sum(mhz[:quarter]) / quarter, sum(mhz[-quarter:]) / quarter
    if last < first * (1 - CLOCK_DROP):
        yield flag("clock_dropped", "invalid", f"CPU clocks fell from {first:.0f} to {last:.0f} MHz during the pass")


def series_flags(name: str, one: Series, preset: Preset) -> Iterator[Flag]:
    """What the blocks of one variant say."""
    medians = one.block_p50_s()
    spread = stats.coefficient_of_variation(medians)
    if spread > NOISY_CV:
        yield flag("noisy", "warning", f"{name}: block medians vary by {spread:.1%} (over {NOISY_CV:.0%})")
    count = len(one.queries_ns())
    if count < preset.min_queries:
        evidence = f"{name}: {count} queries in {preset.cap_s:g} s, {preset.min_queries} asked"
        yield flag("few_queries", "warning", evidence)
    if not one.warm_stable:
        yield flag("not_warm", "warning", f"{name}: warm-up had not settled after {one.warm_s:.0f} s")
    if one.fixed_batch is not None and one.fixed_batch > 1:
        yield flag("fixed_batch", "note", f"{name} is frozen to batch {one.fixed_batch}: a query fills it with copies")


def drift_flag(name: str, baseline: Sequence[float], new: Sequence[float]) -> Iterator[Flag]:
    """A ratio that walks with time: the variants do not see the same machine."""
    rho = stats.spearman([b / n for b, n in zip(baseline, new, strict=True)])
    ratio = stats.paired_ratio(baseline, new)
    # With few blocks a rank correlation beyond 0.5 is common by chance; a walk within 1 % changes no claim.
    wide = ratio.high is None or ratio.low is None or ratio.high / ratio.low > 1.02
    if abs(rho) > DRIFT_RHO and wide:
        yield flag("drift", "warning", f"{name}: the speed ratio walks with time (Spearman {rho:+.2f} over blocks)")


def provider_flags(name: str, probe: Probe, settings: Settings) -> Iterator[Flag]:
    """Registered is not ran: nodes are counted from a profiled run."""
    asked, nodes = settings.provider, dict(probe.nodes_by_provider)
    elsewhere = {provider: n for provider, n in nodes.items() if provider != asked}
    if not nodes.get(asked) and nodes:
        yield flag("provider", "invalid", f"{name}: no node ran on {asked}, all on {', '.join(nodes)}")
    elif elsewhere:
        where = ", ".join(f"{n} on {provider}" for provider, n in elsewhere.items())
        evidence = f"{name}: {sum(elsewhere.values())} of {sum(nodes.values())} nodes did not run on {asked} ({where})"
        yield flag("fallback", "warning", evidence)


def integer_flags(name: str, probe: Probe, scheme: str, speed_verdict: str | None) -> Iterator[Flag]:
    """An 8-bit variant that is slower, or that computes in float."""
    if scheme in ("float32", "float16", "none"):
        return
    floats = ", ".join(f"{n} {kernel}" for kernel, n in sorted(probe.float_nodes.items())) or "none"
    if speed_verdict == "slower":
        evidence = f"{name} is slower than the baseline here; matrix kernels left in float: {floats}"
        yield flag("slower", "warning", evidence)
    if probe.nodes_by_kernel and probe.integer_nodes == 0 and probe.float_nodes:
        evidence = f"{name} has 8-bit weights, and every matrix kernel ran in float: {floats}"
        yield flag("runs_in_float", "invalid", evidence)


def left_out(faulty: Mapping[str, str]) -> Iterator[Flag]:
    """Variants without figures: nothing is claimed of them, and those of the others stand."""
    for name, why in faulty.items():
        yield {**flag("left_out", "warning", f"{why}: it was left out", "accuracy"), "variant": name}


def sample_flags(unreadable: Mapping[int, str], total: int, truncated: int, limit: int | None) -> Iterator[Flag]:
    if unreadable:
        shown = "; ".join(list(unreadable.values())[:3])
        yield flag(
            "unreadable", "warning", f"{len(unreadable)} of {total} samples could not be read and no variant was "
            f"scored on them: {shown}", "accuracy"
        )  # fmt: skip
    if truncated:
        yield flag("texts_cut", "note", f"{truncated} of {total} texts were cut to the tuned length", "accuracy")
    if limit is not None:
        yield flag("limit", "note", f"only the first {total} held-out samples were used (--limit)", "accuracy")


def no_reference() -> Flag:
    return flag(
        "no_reference", "note", "the bundle carries no reference input: whether this machine prepares inputs as the "
        "exporting one did was not checked", "accuracy"
    )  # fmt: skip


def resumed(taken: Mapping[str, Any]) -> Flag:
    evidence = f"{', '.join(taken['passes'])} were measured in a sitting begun {taken['begun_utc']}, the rest later"
    return flag("resumed", "note", evidence, "all")
