"""What a search tries: for each field of the settings, the values between which a trial chooses.

What the user gave (a value that is not the default) is kept, and not searched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from edgeft import policies
from edgeft.packages import is_installed
from edgeft.recipe import TuneSpec
from edgeft.tuning.architecture import block_names
from edgeft.tuning.defaults import learning_rate

# Factor on the rate that is the default for what learns: five times as slow to five times as fast.
_LR_FACTOR = (0.2, 5.0)
_BATCHES = (16, 32, 64)
USUAL_BATCH = 32
# The defaults of TuneSpec, by the names that trials know them under, but for --augment.
_USUAL = {
    "freeze": "backbone", "batch_size": USUAL_BATCH, "weight_decay": 0.01, "lr_factor": 1.0,
    "calibration": "percentile", "qat_lr": 2e-5, "learn_ranges": 0.33,
}  # fmt: skip
_LAST_BLOCKS = 2

Suggest = Callable[[Any], Any]


def space(spec: TuneSpec, model: nn.Module, content: str, quantized: bool, train: int) -> dict[str, Suggest]:
    """Field of TuneSpec -> how an Optuna trial chooses its value; in the order in which they are asked.

    content    "image", "text", "words" or "audio"
    quantized  whether a quantization-aware phase follows
    train      number of training examples
    """
    kinds = _kinds(spec, model)
    rates = {kind: learning_rate(None, kind, model) for kind in kinds if "," not in kind}
    batches = [size for size in _BATCHES if size <= max(train, USUAL_BATCH)]
    offered: dict[str, Suggest] = {
        "freeze": lambda trial: trial.suggest_categorical("freeze", kinds),
        "batch_size": lambda trial: trial.suggest_categorical("batch_size", batches),
        "weight_decay": lambda trial: trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
    }
    if rates:
        offered["lr"] = lambda trial: _rate(trial, rates, kinds)
    offered |= _OF_CONTENT[content]
    offered |= _QUANTIZED if quantized else {}
    kept = _given(spec)
    return {field: suggest for field, suggest in offered.items() if field not in kept}


def usual(content: str) -> dict[str, Any]:
    """What a run without a search would use, as the values of a trial."""
    return {**_USUAL, "augment": policies.usual(content)}


def _kinds(spec: TuneSpec, model: nn.Module) -> list[str]:
    if "freeze" in _given(spec):
        return [spec.freeze]
    last = [f"last:{_LAST_BLOCKS}"] if len(block_names(model)) > _LAST_BLOCKS else []
    return ["backbone", *last, "none", *(["lora"] if is_installed("peft") else [])]


def _given(spec: TuneSpec) -> set[str]:
    return {f.name for f in dataclasses.fields(spec) if getattr(spec, f.name) != f.default}


def _rate(trial: Any, rates: Mapping[str, float], kinds: list[str]) -> float:
    """A rate near the usual one of what learns: one number to search, whatever is frozen."""
    usual = rates[trial.params.get("freeze", kinds[0])]
    return float(f"{usual * trial.suggest_float('lr_factor', *_LR_FACTOR, log=True):.3g}")


# Mixing images (mixup, cutmix) is left to the user: with it a frozen backbone runs anew in every epoch of a trial.
_AUGMENT = ("none", "crop", "flip", "flip,colour", "flip,randaugment")
_AUGMENT_SOUNDS = ("none", "shift", "shift,mask")
_OF_CONTENT: Mapping[str, Mapping[str, Suggest]] = {
    "image": {"augment": lambda trial: trial.suggest_categorical("augment", list(_AUGMENT))},
    "text": {},
    "words": {},
    "audio": {"augment": lambda trial: trial.suggest_categorical("augment", list(_AUGMENT_SOUNDS))},
}
_QUANTIZED: Mapping[str, Suggest] = {
    "calibration": lambda trial: trial.suggest_categorical("calibration", ["minmax", "percentile", "mse"]),
    "qat_lr": lambda trial: trial.suggest_float("qat_lr", 5e-6, 1e-4, log=True),
    "learn_ranges": lambda trial: trial.suggest_categorical("learn_ranges", [0.0, 0.33, 1.0]),
}
