"""The end of a run: curves.png, confusion.png and the model card, then tuned.json, which makes the folder whole."""

from __future__ import annotations

import datetime
import json
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import edgeft
from edgeft import files, policies
from edgeft.quant.store import chosen_layers
from edgeft.runfolder import DOCUMENT, SCHEMA, Run
from edgeft.tuning.card import CARD, card
from edgeft.tuning.curves import draw_curves
from edgeft.tuning.job import Job, data_folder
from edgeft.tuning.licence import licence_of
from edgeft.tuning.matrix import draw_confusion
from edgeft.tuning.plan import counts
from edgeft.tuning.target import Target
from edgeft.tuning.watch import METRICS

_PACKAGES = (
    "torch", "transformers", "timm", "accelerate", "tokenizers", "Pillow", "numpy", "safetensors", "soundfile", "soxr",
)  # fmt: skip


def finish(job: Job, target: Target, chosen: Mapping[str, Any], energy: Mapping[str, Any]) -> Run:
    """Draw the pictures and write the model card, then tuned.json, and return the run.

    chosen  values of settings that depend on the examples, see edgeft.tuning.few
    energy  see edgeft.tuning.joules
    """
    draw_curves(job.folder / METRICS, job.folder / "curves.png")
    found = {name: splits["test"]["confusion"] for name, splits in _classes(job).items()}
    draw_confusion(found, job.dataset.labels, job.folder / "confusion.png")
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    document = {**_document(job, target, chosen), "energy": dict(energy)}
    files.write_text(job.folder / CARD, card(document))
    files.write_json(job.folder / DOCUMENT, document)
    return Run.open(job.folder)


def _document(job: Job, target: Target, chosen: Mapping[str, Any]) -> dict[str, Any]:
    original, prepared, floating = (job.state.done(phase) or {} for phase in ("original", "prepared", "float"))
    quantized = job.state.done("quantized") or {}
    dataset = job.dataset
    return {
        "schema": SCHEMA,
        "edgeft": edgeft.__version__,
        "created_utc": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "settings": dict(job.settings),
        "chosen": dict(chosen),
        "versions": _versions(),
        "seed": job.seed,
        "device": str(job.device),
        "task": job.task.name,
        "metric": job.task.metric,
        "labels": list(dataset.labels),
        "preprocessing": prepared["preprocessing"],
        "data": {
            "source": dataset.source,
            "folder": str(data_folder(dataset)),
            "fingerprint": dataset.fingerprint,
            "split_rule": dataset.split_rule,
            "splits_sha256": prepared["splits_sha256"],
            "counts": counts(dataset),
            "notices": list(dataset.notices),
            "checks": {**dataset.checks, **prepared["fit"]},
        },
        "model": {
            "given": original["source"]["given"],
            "kind": original["source"]["kind"],
            "original_answers_task": original["answers"],
            "sha256": original["sha256"],
            **({"licence": licence} if (licence := licence_of(Path(original["source"]["place"]))) else {}),
        },
        "augmentation": policies.record(job.settings.get("augment") or policies.usual(job.task.content)),
        "freeze": job.settings["freeze"],
        "frozen": floating["frozen"],
        "stages": floating["stages"],
        "advice": floating["advice"],
        "weights": _weights(job.folder),
        **_quantization(job),
        "scheme": target.scheme_name,
        "profile": target.profile,
        "scores": _scores(job),
        "classes": _classes(job),
        "kept": quantized.get("kept", "float"),
        "best_epoch": floating["best_epoch"],
        "qat_best_epoch": quantized.get("best_epoch", 0.0),
        "wall_s": _wall_s(job),
        "state": "complete",
    }


def _weights(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of weights, by its path in the run: export vouches for what it reads."""
    found = sorted(path for part in ("float", "quantized") for path in (folder / part).glob("*.safetensors"))
    return {path.relative_to(folder).as_posix(): files.sha256_file(path) for path in found}


def _quantization(job: Job) -> dict[str, Any]:
    """On which samples and how ranges were set, and which layers stay float by choice; nothing after plain tuning."""
    ptq, folder = job.state.done("ptq"), job.folder / "quantized"
    if ptq is None:
        return {}
    calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    automatic = {"auto": ptq["auto"]} if "auto" in ptq else {}
    chosen = chosen_layers(folder)
    layers = {"layers": chosen.kept, **({"raised": chosen.raised} if chosen.raised else {})}
    return {"calibration": calibration, "keep_float": {**layers, **automatic}}


def _scores(job: Job) -> dict[str, Any]:
    """Scores by state of the model and split; what was not measured is absent."""
    return {
        name: {split: _without_classes(one) for split, one in scores.items()} for name, scores in _scored(job).items()
    }


def _without_classes(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What fits in a line: of the figures by class only those that are one number, as macro-F1."""
    kept = {key: value for key, value in entry.items() if key != "classes"}
    return {**kept, **{key: value for key, value in entry["classes"].items() if isinstance(value, float)}}


def _classes(job: Job) -> dict[str, Any]:
    """Figures by class and the confusion matrix of the float model, and of the quantized one that the run ends with."""
    found = {name: scores for name, scores in _scored(job).items() if name in ("float", "quantized")}
    return {name: {split: one["classes"] for split, one in scores.items()} for name, scores in found.items()}


def _scored(job: Job) -> dict[str, Any]:
    found = {"original": job.state.done("original_scores")}
    found |= {phase: (job.state.done(phase) or {}).get("scores") for phase in ("float", "ptq", "quantized")}
    return {name: scores for name, scores in found.items() if scores}


def _wall_s(job: Job) -> dict[str, float]:
    records = {phase: job.state.done(phase) or {} for phase in ("float", "ptq", "quantized")}
    return {phase: round(record["wall_s"], 2) for phase, record in records.items() if "wall_s" in record}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
