"""Every figure of a result, one row a figure and one column a variant; rows that nobody has are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeft.report.words import ABSENT, interval_points, megabytes, milliseconds, percent, points, ratio

Entry = Mapping[str, Any]


def rows(document: Entry) -> list[tuple[str, ...]]:
    """(what, figure of each variant in the order of the document)."""
    found = []
    for what, words in _FIGURES:
        cells = [_cell(words, entry, document["comparisons"].get(name, {}))
                 for name, entry in document["variants"].items()]  # fmt: skip
        if any(cell != ABSENT for cell in cells):
            found.append((what, *cells))
    return found


def _cell(words: Callable[[Entry, Entry], str], entry: Entry, comparison: Entry) -> str:
    try:
        return words(entry, comparison)
    except KeyError:  # the figure, or the part it belongs to, was not measured
        return ABSENT


def _kernels(entry: Entry) -> str:
    floats = ", ".join(f"{n} {kernel}" for kernel, n in entry["matrix_kernels"]["float"].items())
    return f"{entry['matrix_kernels']['integer']} integer" + (f", float: {floats}" if floats else "")


def _worst(comparison: Entry) -> str:
    worst = comparison["accuracy"]["worst_class"]
    return f"{worst['label']} {points(-worst['recall_drop'])} ({worst['n']} samples)"


def _speed(part: Entry, key: str = "speedup") -> str:
    return f"{ratio(part[key])}x" + (f" [{', '.join(map(ratio, part['ci95']))}]" if "ci95" in part else "")


def _f1(comparison: Entry) -> str:
    found = comparison["accuracy"]["macro_f1"]
    return points(found["diff"]) + (f" {interval_points(found['ci95'])}" if "ci95" in found else "")


def _disagreements(comparison: Entry) -> str:
    one = comparison["accuracy"]
    return f"{one['b']} now wrong, {one['c']} now right"


def _joules(entry: Entry, kind: str) -> str:
    """With its interval over blocks, where there is one."""
    energy = entry["energy"]
    bounds = [f"{1000 * value:.3g}" for value in energy.get(f"{kind}_ci95", [])]
    return f"{1000 * energy[f'{kind}_j']:.3g} mJ" + (f" [{', '.join(bounds)}]" if bounds else "")


def _needs(entry: Entry) -> str:
    return ", ".join(f"{name} {n}" for name, n in entry["latency"]["needs_n"].items())


def _energy_blocks(energy: Entry) -> str:
    seconds = sum(block["s"] for block in energy["blocks"])
    return f"{energy['n']} examples in {len(energy['blocks'])} blocks, {seconds:.0f} s"


def _providers(entry: Entry) -> str:
    return ", ".join(f"{n} on {provider}" for provider, n in entry["nodes_by_provider"].items())


_FIGURES: tuple[tuple[str, Callable[[Entry, Entry], str]], ...] = (
    ("file", lambda v, c: f"{v['file']}, opset {v['opset']}, {v['scheme']}"),
    ("precision over entities", lambda v, c: percent(v["accuracy"]["precision"])),
    ("recall over entities", lambda v, c: percent(v["accuracy"]["recall"])),
    ("words with the right tag", lambda v, c: percent(v["accuracy"]["token_accuracy"])),
    ("macro-F1", lambda v, c: percent(v["accuracy"]["macro_f1"])),
    ("balanced accuracy", lambda v, c: percent(v["accuracy"]["balanced_accuracy"])),
    ("right or wrong otherwise", lambda v, c: _disagreements(c)),
    ("exact McNemar p", lambda v, c: f"{c['accuracy']['mcnemar_p']:.2g}"),
    ("macro-F1 difference, points", lambda v, c: _f1(c)),
    ("worst class, recall in points", lambda v, c: _worst(c)),
    ("largest logit difference", lambda v, c: f"{c['accuracy']['max_logit_diff']:.3g}"),
    ("mean KL divergence, nats", lambda v, c: f"{c['accuracy']['mean_kl']:.2g}"),
    ("p95 ms", lambda v, c: milliseconds(v["latency"]["p95_s"])),
    ("p99 ms", lambda v, c: milliseconds(v["latency"]["p99_s"])),
    ("queries that more percentiles need", lambda v, c: _needs(v)),
    ("mean ms", lambda v, c: milliseconds(v["latency"]["mean_s"])),
    ("speedup at p90", lambda v, c: _speed(c["latency"]["p90"])),
    ("speedup at p95", lambda v, c: _speed(c["latency"]["p95"])),
    ("speedup at p99", lambda v, c: _speed(c["latency"]["p99"])),
    ("queries", lambda v, c: f"{v['latency']['n']} in {len(v['latency']['blocks'])} blocks"),
    ("outliers, kept", lambda v, c: str(v["latency"]["outliers"])),
    ("batch", lambda v, c: str(v["latency"]["batch"])),
    ("samples a second", lambda v, c: f"{v['latency']['samples_per_s']:.4g}"),
    ("end to end p50 ms", lambda v, c: milliseconds(v["latency"]["end_to_end"]["p50_s"])),
    ("end to end p90 ms", lambda v, c: milliseconds(v["latency"]["end_to_end"]["p90_s"])),
    ("cold: load ms", lambda v, c: milliseconds(v["latency"]["cold"]["load_s"])),
    ("cold: first query ms", lambda v, c: milliseconds(v["latency"]["cold"]["first_s"])),
    ("energy, gross", lambda v, c: _joules(v, "gross")),
    ("energy, net of idle", lambda v, c: _joules(v, "net")),
    ("energy covers", lambda v, c: v["energy"]["coverage"]),
    ("energy read from", lambda v, c: f"{v['energy']['source']}: {v['energy']['path']}"),
    ("sensor resolution", lambda v, c: v["energy"]["sensor_resolution"]),
    ("power samples", lambda v, c: f"{v['energy']['n_samples']} at {v['energy']['sample_hz']:.3g} Hz"),
    ("counter wraps", lambda v, c: str(v["energy"]["wraps"])),
    ("energy blocks", lambda v, c: _energy_blocks(v["energy"])),
    ("slower while energy was read", lambda v, c: f"{100 * v['energy']['sampler_overhead']:+.1f} %"),
    ("clock of the log off by, s", lambda v, c: f"{v['energy']['clock_offset_s']:+.2f}"),
    ("memory before the model, MB", lambda v, c: megabytes(v["memory"]["before_model_rss_bytes"])),
    ("nodes", lambda v, c: _providers(v)),
    ("matrix kernels", lambda v, c: _kernels(v)),
)
