"""What was measured, as the document result.json (edgeft-result/1). Absent figures are absent."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgeft import __version__, checkout, machine, packages
from edgeft.bundle import Bundle
from edgeft.evaluation import aa, accuracy, gpu, percentile, stats, tails
from edgeft.evaluation.accuracy import Answers
from edgeft.evaluation.claims import noise_floor, speed_verdict
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Series
from edgeft.evaluation.presets import Preset
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import Settings
from edgeft.evaluation.timing import Pace
from edgeft.files import sha256_text
from edgeft.tasks.task import Scores, Task

SCHEMA = "edgeft-result/1"
SAMPLES = "samples.npz"


def header(preset: Preset, scenario: str, seed: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "run_id": secrets.token_hex(16),
        "edgeft": __version__,
        **checkout.record(),
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "argv": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "preset": preset.name,
        "preset_label": preset.label,
        "scenario": scenario,
        "seed": seed,
    }


def key(
    bundle: Bundle, names: Sequence[str], preset: Preset, scenario: str, seed: int, limit: int | None,
    settings: Settings, profile_id: str, card: gpu.Gpu | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What has to be equal for passes of two sittings to make one result."""
    import onnxruntime as ort

    system = machine.describe_machine()
    return {
        "edgeft": __version__, "bundle_sha256": bundle.sha256, "variants": list(names), "preset": asdict(preset),
        "scenario": scenario, "seed": seed, "limit": limit, "settings": settings.as_json(), "profile": profile_id,
        "onnxruntime": ort.__version__,
        "machine": {name: system.get(name) for name in ("board_model", "cpu_model", "power_mode", "governor")},
        "gpu": gpu.key(card),
    }  # fmt: skip


def runtime(settings: Settings, probes: Mapping[str, Probe], versions: Mapping[str, str]) -> dict[str, Any]:
    import onnxruntime as ort

    chain = settings.chain(ort.get_available_providers())
    return {
        **versions,
        "onnxruntime": {"version": ort.__version__, **_build_info(ort), **_package()},
        "eps_available": list(ort.get_available_providers()),
        "ep_requested": settings.provider,
        "ep_options": dict(settings.ep_options),
        "ep_chain": [{"provider": name, "options": dict(options)} for name, options in chain.items()],
        "nodes_by_provider": {name: dict(one.nodes_by_provider) for name, one in probes.items()},
        "fallback": any(set(one.nodes_by_provider) - {settings.provider} for one in probes.values()),
        "graph_opt_level": settings.graph_level,
        "intra_threads": settings.threads,
        "inter_threads": settings.inter_threads,
        "execution_mode": "sequential",
        "allow_spinning": settings.spinning,
        "affinity": list(settings.affinity),
        **_memory_options(ort, settings),
        "session_options": dict(settings.attributes),
        "session_config": dict(settings.config),
        "io_binding": False,
    }


def _memory_options(ort: Any, settings: Settings) -> dict[str, Any]:
    """What the profile says, else onnxruntime's own defaults: they decide memory, and on x86 without VNNI accuracy."""
    usual, given = ort.SessionOptions(), settings.attributes
    return {
        "mem_arena": given.get("enable_cpu_mem_arena", usual.enable_cpu_mem_arena),
        "mem_pattern": given.get("enable_mem_pattern", usual.enable_mem_pattern),
        "x64quantprecision": str(settings.config.get("session.x64quantprecision", "0")) == "1",
    }


def _package() -> dict[str, str]:
    """Which build it is: onnxruntime, onnxruntime-gpu, a vendor's."""
    name = packages.distribution_of("onnxruntime")
    return {"package": name} if name else {}


def _build_info(ort: Any) -> dict[str, str]:
    return {"build_info": str(ort.get_build_info())} if hasattr(ort, "get_build_info") else {}


def data(bundle: Bundle, answers: Answers, samples: Samples, seed: int) -> dict[str, Any]:
    listed = bundle.document["eval"]
    found: dict[str, Any] = {
        "name": Path(bundle.path).name,
        "split": listed.get("split", "test"),
        "sha256": listed["sha256"],
        "n": answers.n,
        **({"queries": len(samples)} if len(samples) > answers.n + len(samples.unreadable) else {}),
        "unreadable": len(samples.unreadable),
        "labels": list(bundle.labels),
        "preprocessing_sha": sha256_text(repr(sorted(bundle.preprocessing.items()))),
        "bundle_sha256": bundle.sha256,
        "order_seed": seed,
    }
    shapes = {one["name"]: one["shape"] for one in bundle.document["inputs"] if "shape" in one}
    found |= {"input_shape": shapes} if shapes else {}
    if calibrated := bundle.document.get("calibration"):
        found["calibration"] = {key: calibrated[key] for key in ("method", "n", "ids_sha256") if key in calibrated}
    if tokenizer := bundle.document["files"].get(bundle.preprocessing.get("tokenizer", "")):
        found["tokenizer_sha"] = tokenizer
    if lengths := list(samples.lengths.values()):
        found["sequence_length"] = {"min": min(lengths), "median": int(np.median(lengths)), "max": max(lengths)}
        found["sequence_lengths"] = {str(n): lengths.count(n) for n in sorted({*lengths})}
    return found


def variant(entry: Mapping[str, Any], scores: Scores, series: Series, probes: Sequence[Probe], preset: Preset,
            pace: Pace, energy: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """One variant: what the bundle says of its file, and what was measured."""
    first = probes[0]
    told = ("file", "sha256", "title", "scheme", "opset", "ir_version", "params", "dtypes", "kept_float")
    known = {key: entry[key] for key in told if key in entry}
    found = {
        **known,
        "size_bytes": entry["bytes"],
        "nodes_by_provider": dict(first.nodes_by_provider),
        "matrix_kernels": {"integer": first.integer_nodes, "float": first.float_nodes},
        "accuracy": {
            "metric": scores.metric,
            "value": scores.value,
            "n": scores.n,
            "per_sample_file": SAMPLES,
            "per_class": {label: dict(row) for label, row in scores.per_class.items()},
            **scores.others,
        },
        "latency": latency(series, probes, preset, pace),
        "energy": dict(energy),
        "memory": memory(probes),
    }
    return found


def memory(probes: Sequence[Probe]) -> dict[str, Any]:
    """The highest of the fresh processes; absent where the system does not say."""
    peaks = [one.peak_rss_bytes for one in probes if one.peak_rss_bytes is not None]
    bases = [one.base_rss_bytes for one in probes if one.base_rss_bytes is not None]
    found = {"peak_rss_bytes": max(peaks)} if peaks else {}
    return {**found, "before_model_rss_bytes": max(bases)} if bases else found


def latency(series: Series, probes: Sequence[Probe], preset: Preset, pace: Pace) -> dict[str, Any]:
    """p50_s is the median; p90_s and above are early-stopping estimates, absent when n is too small."""
    queries = series.queries_ns()
    whole = series.end_to_end_ns()
    found: dict[str, Any] = {
        "warmup": {"runs": series.warm_runs, "s": series.warm_s, "stable": series.warm_stable},
        "batch": pace.batch,
        "p50_s": percentile.plain(queries, 0.5) / 1e9,
        **_estimates(queries, preset.percentiles),
        "mean_s": float(queries.mean()) / 1e9,
        "n": len(queries),
        "measured_s": float(queries.sum()) / 1e9,
        **_needed(queries, preset.percentiles),
        "outliers": stats.outliers(queries),
        "blocks": [block_record(block) for block in series.blocks],
        "cold": {
            "load_s": float(np.median([one.load_s for one in probes])),
            "first_s": float(np.median([one.first_s for one in probes])),
            "n": len(probes),
        },
    }
    if len(whole):
        found["end_to_end"] = {
            "p50_s": percentile.plain(whole, 0.5) / 1e9, **_estimates(whole, (0.9,)), "n": len(whole)
        }  # fmt: skip
    if pace.batch > 1:
        found["samples_per_s"] = pace.batch / found["p50_s"]
    return found


def _needed(queries: Any, shares: Sequence[float]) -> dict[str, dict[str, int]]:
    """{"needs_n": queries that a percentile without an estimate takes}; empty when all have theirs."""
    least = {f"p{share * 100:g}": percentile.queries_needed(share) for share in shares}
    lacking = {name: n for name, n in least.items() if len(queries) < n}
    return {"needs_n": lacking} if lacking else {}


def _estimates(values: Any, shares: Sequence[float]) -> dict[str, float]:
    found = {f"p{share * 100:g}_s": percentile.early_stopping(values, share) for share in shares}
    return {name: value / 1e9 for name, value in found.items() if value is not None}


def block_record(block: Block) -> dict[str, Any]:
    return {
        "order": block.order,
        "t_start": block.start_s,
        "n": len(block.queries_ns),
        "p50_s": block.p50_s,
        "p90_s": percentile.plain(block.queries_ns, 0.9) / 1e9,
        "mean_s": float(block.queries_ns.mean()) / 1e9,
        "before": block.before.as_json(),
        "after": block.after.as_json(),
    } | ({"sitting": block.sitting} if block.sitting else {})


def compared(task: Task, baseline: str, name: str, scored: Mapping[str, Any], answers: Answers,
             series: Mapping[str, Series], n_labels: int, seed: int, preset: Preset) -> dict[str, Any]:  # fmt: skip
    """One variant against the baseline."""
    closer = accuracy.compare(task, scored[baseline], scored[name], answers.labels, n_labels, seed)
    closer |= accuracy.closeness(answers.logits[baseline], answers.logits[name])
    worst = accuracy.worst_class(scored[baseline][1], scored[name][1])
    if worst is not None:
        closer["worst_class"] = worst
    ratio = stats.paired_ratio(series[baseline].block_p50_s(), series[name].block_p50_s())
    itself = aa.check(series, baseline)
    floor = noise_floor(itself["aa_check"]["half_width"]) if itself else noise_floor()
    speed = {
        "speedup": ratio.point, "verdict": speed_verdict(ratio, floor), "noise_floor": floor, "blocks": ratio.n
    }  # fmt: skip
    if ratio.low is not None and ratio.high is not None:
        speed["ci95"] = [ratio.low, ratio.high]
    speed |= _tails(series[baseline], series[name], preset, seed) | itself
    return {"accuracy": closer, "latency": speed}


def _tails(baseline: Series, new: Series, preset: Preset, seed: int) -> dict[str, Any]:
    """Ratios of p90 and p99 where there are queries enough."""
    found = {}
    for share in preset.percentiles:
        before, after = ([block.queries_ns for block in one.blocks] for one in (baseline, new))
        ratio = tails.tail_ratio(before, after, share, seed)
        if ratio is not None:
            found[f"p{share * 100:g}"] = {"speedup": ratio.point, "ci95": [ratio.low, ratio.high], "blocks": ratio.n}
    return found


def checks(loop_s: tuple[float, float], start: Snapshot) -> dict[str, Any]:
    """The machine before anything ran, and a fixed integer loop before and after the latency pass: what the clock
    really did."""
    loop = {"before_s": loop_s[0], "after_s": loop_s[1], "change": loop_s[1] / loop_s[0] - 1}
    return {"start": start.as_json(), "fixed_loop": loop}


def arrays(answers: Answers, scored: Mapping[str, Any], series: Mapping[str, Series], pace: Pace) -> dict[str, Any]:
    """What samples.npz holds: raw nanoseconds by block and the samples they were of, answers and scores by sample.

    A query of a batch has the same samples all over a block: they are stored once a block.
    """
    found: dict[str, Any] = {"positions": answers.positions, "labels": answers.labels}
    if answers.owners is not None:
        found["owners"] = answers.owners
    for name in answers.logits:
        found[f"{name}/predicted"] = scored[name][0]
        found[f"{name}/logits"] = answers.logits[name]
    for name, one in series.items():
        found[f"{name}/query_ns"] = one.queries_ns()
        found[f"{name}/query_block"] = np.repeat(
            [block.order for block in one.blocks], [len(block.queries_ns) for block in one.blocks]
        )
        found[f"{name}/end_to_end_ns"] = one.end_to_end_ns()
        if pace.batch == 1:
            found[f"{name}/query_position"] = np.concatenate(
                [np.resize(block.positions, len(block.queries_ns)) for block in one.blocks]
            )
        else:
            found[f"{name}/block_positions"] = np.concatenate([block.positions for block in one.blocks])
    return found
