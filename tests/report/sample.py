"""A result with round figures, as evaluate writes it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from edgeft import files
from edgeft.evaluation.result import Result, write_samples


def variant(accuracy: float, p50_s: float, size: int, first: int) -> dict[str, Any]:
    blocks = [{"order": first + 2 * k, "t_start": float(k), "n": 100, "p50_s": p50_s, "p90_s": p50_s, "mean_s": p50_s}
              for k in range(4)]  # fmt: skip
    return {
        "file": "x.onnx", "sha256": "0" * 64, "size_bytes": size, "scheme": "float32", "opset": 20,
        "nodes_by_provider": {"CPUExecutionProvider": 60},
        "matrix_kernels": {"integer": 50 if first else 0, "float": {} if first else {"FusedConv": 50}},
        "accuracy": {"metric": "accuracy", "value": accuracy, "n": 1000, "per_class": {}},
        "latency": {
            "warmup": {"runs": 100, "s": 2.0, "stable": True}, "batch": 1, "p50_s": p50_s, "p90_s": 1.05 * p50_s,
            "mean_s": p50_s, "n": 400, "outliers": 0, "blocks": blocks,
            "cold": {"load_s": 0.05, "first_s": 0.01, "n": 1},
            "end_to_end": {"p50_s": 2 * p50_s, "n": 80},
        },
        "energy": {"status": "not_measured", "reason": "no meter"},
        "memory": {"peak_rss_bytes": 96_000_000},
    }  # fmt: skip


DOCUMENT: dict[str, Any] = {
    "schema": "edgeft-result/1", "edgeft": "0.1.0", "created_utc": "2026-01-02T03:04:05+00:00", "argv": ["edgeft"],
    "preset": "standard", "preset_label": "standard", "scenario": "single-stream", "seed": 0,
    "baseline": "original", "baseline_is": "the model as given",
    "system": {"profile_id": "raspberry-pi-5", "board_model": "Raspberry Pi 5 Model B", "int8_path": "dotprod",
               "power_mode": "15W"},
    "profile": {"id": "raspberry-pi-5", "title": "Raspberry Pi 5"},
    "runtime": {"onnxruntime": {"version": "1.20.0"}, "ep_requested": "CPUExecutionProvider", "intra_threads": 4,
                "allow_spinning": True, "graph_opt_level": "all"},
    "data": {"name": "clothes", "split": "test", "sha256": "a" * 64, "n": 1000, "preprocessing_sha": "b" * 64},
    "variants": {"original": variant(0.933, 0.0201, 18_600_000, 0), "int8": variant(0.930, 0.0134, 4_700_000, 1)},
    "comparisons": {
        "int8": {
            "accuracy": {"b": 12, "c": 9, "n": 1000, "diff": -0.003, "ci95": [-0.0121, 0.0061], "margin": 0.00933,
                         "verdict": "undecided", "needs_n": 1983, "mcnemar_p": 0.66, "agreement": 0.975},
            "latency": {"speedup": 1.5, "ci95": [1.48, 1.52], "verdict": "faster", "blocks": 4},
        }
    },
    "validity": {"valid": True, "flags": [
        {"code": "noisy", "severity": "warning", "evidence": "int8: block medians vary by 6 %", "affects": "latency",
         "variant": "int8"}]},
    "budget": [],
    "claims": [{"text": "int8 is at least 1.48x as fast as original (estimate 1.50x)", "basis": "4 blocks",
                "valid": True}],
}  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DOCUMENT), **changes}


def write_result(folder: Path, content: dict[str, Any] | None = None, changed: dict[str, Any] | None = None) -> Result:
    content = content or document()
    folder.mkdir(parents=True)
    arrays = {}
    for name, one in content["variants"].items():
        jitter = np.random.default_rng(0).integers(0, 100_000, 400)
        arrays[f"{name}/query_ns"] = int(one["latency"]["p50_s"] * 1e9) + jitter
    write_samples(folder / "samples.npz", arrays)
    if changed is not None:
        told = {"schema": "edgeft-changed/1", "baseline": content["baseline"], "variants": changed}
        files.write_json(folder / "changed.json", told)
    files.write_json(folder / "result.json", content)
    return Result.open(folder)
