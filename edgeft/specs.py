"""The settings of tune, export and eval, as frozen values.

These fields are the only place where an option is defined: the command line and the keys of a recipe are generated
from them, so an option and its key cannot have different names. A spec is read by the `run.py` of its step and
goes no further down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeft import options as read
from edgeft import policies
from edgeft import surroundings as stated
from edgeft.budget import parse_budget
from edgeft.options import option

VARIANTS = ("original", "float32", "float16", "int8-ptq", "int8", "int4-ptq", "int4")
_DRY_RUN = "print the plan and do nothing"
_KEEP = "layers that compute in float: names, modules, glob patterns, kinds as softmax, or auto with --budget"
_RAISE = "give the layers of --keep-float 16-bit activations instead, where the target has them"
_MAY_LOSE = "accuracy that --keep-float auto has to keep, as in accuracy>=-0.5pt"


def _budget(value: Any) -> str:
    parse_budget(read.text(value))
    return str(value)


@dataclass(frozen=True)
class TuneSpec:
    """What `edgeft tune` is to do."""

    model: str = option(
        ..., read.text, "pretrained model: a folder saved by transformers, a Hub id, a timm id, or file.py:factory",
        short="m", from_recipe="path",
    )
    data: str = option(
        ..., read.text, "examples: a folder of class folders (images, sounds), a CSV/TSV/JSONL/Parquet table (of "
        "texts or sound files) or a folder of them, tagged sentences (CoNLL, JSONL), a Hub id",
        short="d", from_recipe="path",
    )
    task: str | None = option(None, read.text, "what the model is for; found out from model and data", short="t")
    profile: str = option(
        "generic", read.text, "hardware profile of the target, a name or a TOML file", short="p", from_recipe="file",
        metavar="NAME|FILE",
    )
    scheme: str | None = option(
        None, read.text, "number grids to train for, by default the profile's; none = plain fine-tuning", short="s",
        metavar="NAME",
    )
    freeze: str = option(
        "backbone", read.freeze,
        "what keeps its weights: backbone, none, last:N, embeddings, lora, regex:PATTERN, or one after the other with "
        "their epochs, as in backbone:1,last:2:1,none",
        metavar="KIND",
    )
    epochs: float | None = option(
        None, read.number(0), "passes over the training examples in float, by default 3, and up to 20 with at most 64 "
        "examples a class", metavar="N",
    )
    qat_epochs: float = option(
        1.0, read.number(0), "quantization-aware passes after that; fractions count, 0 = only calibrate", metavar="N"
    )
    lr: float | None = option(
        None, read.number(0, above=True), "peak learning rate of the float phase, by default chosen by --freeze",
        metavar="RATE",
    )
    weight_decay: float = option(0.01, read.number(0), "decay of weights in the float phase (AdamW)", metavar="N")
    layer_decay: float = option(
        1.0, read.factor, "factor of the learning rate from one block to the one below it; 1 = all learn alike",
        metavar="FACTOR",
    )
    batch_size: int | str = option(
        32, read.batch_size, "examples a training step, of all processes; auto = the largest that memory holds",
        metavar="N|auto",
    )
    max_length: int | None = option(
        None, read.whole(2), "longest text in tokens, by default what the model takes, at most 128", metavar="N"
    )
    image_size: int | None = option(
        None, read.whole(8), "height and width images are brought to, by default the model's own", metavar="PIXELS"
    )
    audio_seconds: float | str | None = option(
        None, read.audio_seconds, "length sounds are brought to, for models that read waveforms, by default that of "
        "the longest example, at most 10; free = as long as each is, at most 30", metavar="SECONDS|free",
    )
    augment: str | None = option(
        None, policies.read,
        "vary training examples: crop = random crops, turns and light (the default for images), flip = and mirror "
        "images, colour, randaugment, mixup, cutmix; for texts word-dropout, word-swap; for sounds shift, mask; "
        "several with commas, each with its strength, as in flip,randaugment:7",
        metavar="none|NAME[:N],...",
    )
    views: int | None = option(
        None, read.whole(1), "varied views of each training example that a frozen backbone computes once, by default "
        "4, and 16 with few examples", metavar="N",
    )
    class_weights: str = option(
        "none", read.choice("none", "balanced"), "weigh rare classes more in the loss", metavar="none|balanced"
    )
    focal: float = option(
        0.0, read.number(0), "gamma of focal loss, which looks at hard examples more; 0 = plain cross-entropy",
        metavar="GAMMA",
    )
    sampling: str = option(
        "shuffle", read.choice("shuffle", "balanced"),
        "order of training examples: shuffle = each once an epoch, balanced = drawn so that classes come equally often",
        metavar="shuffle|balanced",
    )
    label_smoothing: float | None = option(
        None, read.share, "share of each label spread over all classes, by default 0.1 for images and 0 for text",
        metavar="SHARE",
    )
    patience: int = option(
        0, read.whole(0), "stop after so many evaluations without a better score; 0 = never", metavar="N"
    )
    search: int = option(
        0, read.whole(0), "try N settings of learning rate, batch size, freezing, augmentation, weight decay and "
        "quantization, but for those given, and keep the best on validation; 0 = none", metavar="N",
    )
    repeats: int = option(
        1, read.whole(1), "do it with N seeds and give the mean of the test metric with its interval; the run of the "
        "first is kept", metavar="N",
    )
    storage: str | None = option(
        None, read.text, "Optuna storage that workers of one search share, by default a file beside --output",
        metavar="URL", output=True,
    )
    device: str = option("auto", read.device, "where to train", metavar="auto|cpu|cuda[:N]")
    precision: str = option(
        "auto", read.choice("auto", "fp32", "bf16", "fp16"),
        "arithmetic of the float phase; auto = bf16 on a GPU that has it, else fp32", metavar="auto|fp32|bf16|fp16",
    )
    seed: int = option(0, read.whole(0, 2**32 - 1), "seed of splits, order and new weights", metavar="N")
    workers: int | None = option(
        None, read.whole(0), "processes that load examples, by default up to 8 for each GPU; 0 = none of their own",
        metavar="N",
    )
    image_cache: int | None = option(
        None, read.whole(0), "megabytes of memory for decoded images, by default a quarter of what is free; 0 = none",
        metavar="MB",
    )
    report_to: str = option("none", read.text, "experiment trackers, as transformers names them", metavar="NAME")
    text_column: str | None = option(
        None, read.text, "column of a table that holds the text, or the name of a sound file", metavar="NAME"
    )
    label_column: str | None = option(None, read.text, "column of a table that holds the label", metavar="NAME")
    group_column: str | None = option(
        None, read.text, "column whose equal values (a person, a camera) stay in one split; for images, of a table "
        "beside them", metavar="NAME",
    )
    slice_column: str | None = option(
        None, read.text, "column (a site, a camera) for whose values figures are given apart, here and in eval; for "
        "images, of a table beside them", metavar="NAME",
    )
    calibration_samples: int = option(
        512, read.whole(1), "training examples that ranges are calibrated on", metavar="N"
    )
    calibration: str = option(
        "percentile", read.choice("minmax", "percentile", "mse"),
        "how ranges are set: minmax = all fits, percentile = 99.99 % fit, mse = least squared error",
        metavar="minmax|percentile|mse",
    )
    keep_float: tuple[str, ...] | None = option(
        None, read.names(), f"{_KEEP}; export then does the same", metavar="LAYER,...|auto"
    )
    raise_: str | None = option(None, read.choice("16bit"), _RAISE, metavar="16bit")
    budget: str | None = option(
        None, _budget, f"{_MAY_LOSE}; with --search also limits of the exported model, as in size<=4MB,"
        "latency_p90<=20ms", metavar="LIMITS",
    )
    qat_lr: float = option(2e-5, read.number(0, above=True), "peak learning rate of that phase", metavar="RATE")
    learn_ranges: float = option(
        0.33, read.part, "share of its steps in which ranges learn too; 0 = they stay as calibrated", metavar="SHARE"
    )
    feature_loss: float = option(
        0.0, read.number(0), "weight of the distance between what the float and the quantized head read", metavar="N"
    )
    output: Path = option(Path("run"), read.path, "folder of the run", short="o", metavar="RUN", output=True)
    resume: bool = option(False, read.flag, "go on from the last checkpoint in --output", flag=True, output=True)
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


@dataclass(frozen=True)
class ExportSpec:
    """What `edgeft export` is to do."""

    run: Path = option(..., read.path, "folder that edgeft tune wrote", argument=True, from_recipe="path")
    profile: str | None = option(
        None, read.text, "hardware profile, by default the one the run was tuned for", short="p", from_recipe="file",
        metavar="NAME|FILE",
    )
    output: Path = option(Path("bundle"), read.path, "folder of the bundle", short="o", metavar="BUNDLE", output=True)
    variants: tuple[str, ...] | None = option(
        None, read.names(*VARIANTS),
        "models to write, with commas between them, by default original, float32 and those of the run's scheme",
        metavar="NAME,...",
    )
    opset: int | None = option(None, read.whole(13), "ONNX opset, by default the lowest the scheme needs", metavar="N")
    archive: bool = option(False, read.flag, "also pack the bundle into one .edgeft.tar.gz", flag=True)
    samples: int | None = option(
        None, read.whole(1), "held-out examples to carry along, by default all", metavar="N"
    )
    sensitivity: bool = option(
        False, read.flag, "measure on validation examples what quantizing each layer costs", flag=True
    )
    keep_float: tuple[str, ...] | None = option(
        None, read.names(), f"for --variants int8-ptq only: more {_KEEP}", metavar="LAYER,...|auto"
    )
    raise_: str | None = option(None, read.choice("16bit"), _RAISE, metavar="16bit")
    budget: str | None = option(None, _budget, _MAY_LOSE, metavar="LIMIT")
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


@dataclass(frozen=True)
class EvalSpec:
    """What `edgeft eval` is to do."""

    bundle: Path = option(
        ..., read.path, "folder that edgeft export wrote, or an .edgeft.tar.gz of it", argument=True, from_recipe="path"
    )
    profile: str = option(
        "auto", read.text, "hardware profile; auto = the one that fits this machine", short="p", from_recipe="file",
        metavar="auto|NAME|FILE",
    )
    preset: str = option(
        "standard", read.choice("quick", "standard", "full"), "how long to measure", metavar="quick|standard|full"
    )
    variants: tuple[str, ...] | None = option(
        None, read.names(), "models to measure, with commas between them, by default all", metavar="NAME,..."
    )
    limit: int | None = option(None, read.whole(1), "use only the first N held-out examples", metavar="N")
    scenario: str = option(
        "single-stream", read.scenario, "how queries arrive", metavar="single-stream|offline|paced:MS"
    )
    provider: str | None = option(None, read.text, "execution provider, by default the profile's first", metavar="EP")
    threads: int | None = option(None, read.whole(1), "threads of the runtime, by default the profile's", metavar="N")
    meter: str = option(
        "auto", read.text, "energy meter: auto, none, its name (edgeft doctor lists them), or a power log",
        from_recipe="file", metavar="auto|none|NAME[:ARG]|FILE.csv[@COVERAGE]",
    )
    energy_model: str | None = option(
        None, read.energy_model,
        "where no meter works, estimate energy from watts: a number, LOW-HIGH, or profile = those published for it",
        metavar="WATTS|LOW-HIGH|profile",
    )
    surroundings: str | None = option(
        None, stated.read, "what the machine cannot say of itself: cooling, psu, enclosure, ram_type, ambient_c",
        metavar="KEY=VALUE;...",
    )
    budget: str | None = option(
        None, _budget, "limits to keep, as in accuracy>=-1pt,latency_p90<=20ms; a miss ends with exit code 3",
        metavar="LIMITS",
    )
    junit: Path | None = option(
        None, read.path, "also write the budget to this file as JUnit XML", metavar="FILE.xml", output=True
    )
    seed: int = option(0, read.whole(0, 2**32 - 1), "seed of the order of blocks and samples", metavar="N")
    output: Path = option(Path("result"), read.path, "folder of the result", short="o", metavar="RESULT", output=True)
    format: str = option(
        "text", read.choice("text", "markdown", "json", "html"), "what is printed", metavar="text|markdown|json|html",
        output=True,
    )
    resume: bool = option(
        False, read.flag, "take the finished passes of an interrupted evaluation into the same --output", flag=True,
        output=True,
    )
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


SECTIONS: Mapping[str, type[Any]] = MappingProxyType({"tune": TuneSpec, "export": ExportSpec, "eval": EvalSpec})
