"""What the manifest says of a bundle, from the run and the judged files."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from edgeft import __version__, files, packages
from edgeft.exporting.ceilings import Versions
from edgeft.exporting.judge import Judged
from edgeft.profile import Profile
from edgeft.quant.calibration import METHOD
from edgeft.runfolder import DOCUMENT, Run
from edgeft.tasks.task import TensorSpec

_PACKAGES = ("torch", "transformers", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "numpy")


def manifest(
    run: Run,
    profile: Profile,
    scheme: str,
    preprocessing: Mapping[str, Any],
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    versions: Versions,
    judged: Sequence[Judged],
    examples: Mapping[str, Any],
    original_is: str,
    sensitivity: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """The document of edgeft.bundle, without what that module computes itself (hashes and sizes)."""
    outcomes = [outcome for each in judged for outcome in each.gates]
    return {
        "edgeft": __version__,
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "task": run.task,
        "metric": run.metric,
        "labels": list(run.labels),
        "preprocessing": dict(preprocessing),
        "inputs": [spec.as_json() for spec in inputs],
        "outputs": [output.as_json()],
        "original_is": original_is,
        "profile": {"id": profile.id, "title": profile.title},
        "scheme": scheme,
        "opset": versions.opset,
        "variants": {each.name: _variant(each) for each in judged},
        "eval": {**examples, "split": "test"},
        "calibration": calibration(run),
        **({"sensitivity": dict(sensitivity)} if sensitivity else {}),
        "gates": outcomes,
        "passed": all(outcome["passed"] for outcome in outcomes),
        "provenance": _provenance(run),
        "versions": {name: version for name in _PACKAGES if (version := packages.version_of(name))},
    }


def _variant(each: Judged) -> dict[str, Any]:
    left = [product for product in each.products if not product.integer]
    return {
        "file": each.artifact.path.name,
        "title": each.made.title,
        "scheme": each.made.scheme,
        "passed": not each.failed,
        "integer_coverage": {
            "integer": len(each.products) - len(left),
            "all": len(each.products),
            "float_nodes": [{"name": p.name, "op": p.op, "reason": p.reason} for p in left],
        },
        "parity": each.parity,
        **_kept(each),
    }


def _kept(each: Judged) -> dict[str, Any]:
    kept = [{"layer": name, "reason": why} for name, why in each.made.kept.items()]
    return {"kept_float": kept} if kept else {}


def calibration(run: Run) -> dict[str, Any]:
    """On which training samples and how the ranges were set; empty for a run without quantization."""
    place = run.quantized / "calibration.json"
    if not place.is_file():
        return {}
    record = json.loads(place.read_text(encoding="utf-8"))
    method = record.get("method", METHOD)
    return {"method": method, "n": record["n"], "ids_sha256": record["sha256"], "sample_ids": record["ids"]}


def _provenance(run: Run) -> dict[str, Any]:
    model = run.document["model"]
    return {
        "run_sha256": files.sha256_file(run.path / DOCUMENT),
        "data_fingerprint": run.dataset["fingerprint"],
        "model": model["given"],
        "model_sha256": model["sha256"],
        "scores": run.document["scores"],
    }
