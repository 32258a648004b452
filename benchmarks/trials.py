"""Whole jobs on real data, from a model to figures of every variant, against what they must reach.

    python -m benchmarks.trials photographs --model DIR --data DIR [--output DIR] [--json FILE]
    python -m benchmarks.trials text        --model DIR --data DIR [--output DIR] [--json FILE]
    python -m benchmarks.trials sounds      --model examples/sounds.py:small_encoder --data DIR [--output DIR]

photographs: EfficientNet-Lite0 (ImageNet) on an image folder of ten kinds of clothes, 160 px, four epochs.
text:        MiniLM (sentence encoder) on CLINC150 (150 intents, text,label tables), sequences as long as the text.
sounds:      a small spectrogram model from random weights on a folder of spoken digits (six speakers).
An interrupted trial goes on where it stopped. Accuracies are those of `edgeft eval` on the test split; speed is the
ratio of medians over alternating blocks, one query at a time, two threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgeft
from benchmarks.table import Row, arguments, show

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Must:
    """One figure a trial has to reach: how to read it from a result and a bundle, and its bound."""

    metric: str
    read: Callable[[Result, Mapping[str, Any]], float]
    at_least: bool
    bound: float
    unit: str = ""

    def passed(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


def accuracy(variant: str) -> Callable[[Result, Mapping[str, Any]], float]:
    return lambda result, _: float(result["variants"][variant]["accuracy"]["value"])


def points_lost(result: Result, _: Mapping[str, Any]) -> float:
    lost = accuracy("float32")(result, _) - accuracy("int8")(result, _)
    return round(100 * lost, 6)


def speedup(result: Result, _: Mapping[str, Any]) -> float:
    """Median over rounds of float32's block median against int8's."""
    blocks = {name: [b["p50_s"] for b in v["latency"]["blocks"]] for name, v in result["variants"].items()}
    ratios = sorted(a / b for a, b in zip(blocks["float32"], blocks["int8"], strict=True))
    return ratios[len(ratios) // 2]


def megabytes(_: Result, manifest: Mapping[str, Any]) -> float:
    return float(manifest["variants"]["int8"]["bytes"]) / 1e6


def not_integer(_: Result, manifest: Mapping[str, Any]) -> float:
    coverage = manifest["variants"]["int8"]["integer_coverage"]
    return float(coverage["all"] - coverage["integer"])


def products(_: Result, manifest: Mapping[str, Any]) -> float:
    return float(manifest["variants"]["int8"]["integer_coverage"]["integer"])


@dataclass(frozen=True)
class Trial:
    model: str
    tune: Mapping[str, Any]
    musts: tuple[Must, ...]


TRIALS = {
    "photographs": Trial(
        "EfficientNet-Lite0",
        {
            "image_size": 160,
            "epochs": 4,
            "batch_size": 16,
            "lr": 3e-4,
            "freeze": "none",
            "augment": "flip",
            "qat_epochs": 1,
        },  # fmt: skip
        (
            Must("float accuracy", accuracy("float32"), True, 0.92),
            Must("int8 points lost", points_lost, False, 1.0),
            Must("int8 speed-up", speedup, True, 1.4, "x"),
            Must("integer products", products, True, 50),
            Must("float products", not_integer, False, 0),
            Must("int8 file", megabytes, False, 4.5, "MB"),
        ),
    ),
    "text": Trial(
        "MiniLM",
        {"epochs": 3, "freeze": "none", "qat_epochs": 1 / 3},
        (
            Must("float accuracy", accuracy("float32"), True, 0.94),
            Must("int8-ptq accuracy", accuracy("int8-ptq"), True, 0.92),
            Must("int8 points lost", points_lost, False, 0.3),
            Must("int8 speed-up", speedup, True, 1.5, "x"),
            # 18 linear layers of six blocks, six attention kernels with 18 more inside, pooler and classifier.
            Must("integer products", products, True, 26),
            Must("float products", not_integer, False, 0),
        ),
    ),
    "sounds": Trial(
        "Whisper encoder of width 96, not pretrained",
        {"freeze": "none", "epochs": 16, "lr": 1e-3, "augment": "shift,mask", "qat_epochs": 2},
        (
            Must("float accuracy", accuracy("float32"), True, 0.97),
            Must("int8 points lost", points_lost, False, 1.0),
            Must("float products", not_integer, False, 0),
        ),
    ),
}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", type=Path, default=Path("trial"))
    parser.add_argument("--preset", default="standard")
    options = parser.parse_args()
    trial = TRIALS[options.trial]
    folder = options.output / options.trial
    resume = (folder / "run").exists()
    run = edgeft.tune(
        model=options.model,
        data=options.data,
        profile="x86-64-vnni",
        output=folder / "run",
        resume=resume,
        **trial.tune,
    )
    bundle = edgeft.export(run, output=folder / "bundle")
    edgeft.evaluate(bundle, preset=options.preset, threads=2, output=folder / "result")
    result = json.loads((folder / "result" / "result.json").read_text())
    manifest = json.loads((folder / "bundle" / "manifest.json").read_text())
    rows, missed = [], []
    for must in trial.musts:
        value = must.read(result, manifest)
        rows.append(Row("edgeft", trial.model, must.metric, value, must.unit))
        if not must.passed(value):
            missed.append(f"{must.metric} is {value:.4g}, must be {'>=' if must.at_least else '<='} {must.bound}")
    show(f"trials {options.trial}", rows, options.json)
    print("\n".join(missed) or "every figure is reached")


if __name__ == "__main__":
    main()
