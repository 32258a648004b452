"""Recipes: the settings of tune, export and eval, as frozen values.

The fields below are the only place where an option is defined. The command line and the TOML sections [tune],
[export] and [eval] are generated from them, so an option and its key cannot have different names. What is given
later wins: default, recipe file, --set, command line.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from edgeft import options as read
from edgeft.budget import parse_budget
from edgeft.errors import UsageError, did_you_mean
from edgeft.options import Option, option

VARIANTS = ("original", "float32", "int8-ptq", "int8")
_DRY_RUN = "print the plan and do nothing"


def _budget(value: Any) -> str:
    parse_budget(read.text(value))
    return str(value)


@dataclass(frozen=True)
class TuneSpec:
    """What `edgeft tune` is to do."""

    model: str = option(
        ..., read.text, "pretrained model: a folder saved by transformers, a Hub id, a timm id, or file.py:factory",
        short="m", from_recipe=True,
    )
    data: str = option(
        ..., read.text, "examples: a folder of class folders, a CSV/TSV/JSONL table or folder of them, or a Hub id",
        short="d", from_recipe=True,
    )
    task: str | None = option(None, read.text, "what the model is for; found out from model and data", short="t")
    profile: str = option(
        "generic", read.text, "hardware profile of the target, a name or a TOML file", short="p", from_recipe=True,
        metavar="NAME|FILE",
    )
    scheme: str | None = option(
        None, read.text, "number grids to train for, by default the profile's; none = plain fine-tuning", short="s",
        metavar="NAME",
    )
    freeze: str = option(
        "backbone", read.freeze,
        "what keeps its weights: backbone, none, last:N, embeddings, lora, regex:PATTERN, or a schedule", metavar="KIND",
    )
    epochs: float = option(3.0, read.number(0), "passes over the training examples in float", metavar="N")
    qat_epochs: float = option(
        1.0, read.number(0), "quantization-aware passes after that; fractions count, 0 = only calibrate", metavar="N"
    )
    lr: float | None = option(
        None, read.number(0, above=True), "peak learning rate of the float phase, by default chosen by --freeze",
        metavar="RATE",
    )
    batch_size: int | str = option(32, read.batch_size, "examples a training step", metavar="N|auto")
    max_length: int | None = option(
        None, read.whole(2), "longest text in tokens, by default what the model takes, at most 128", metavar="N"
    )
    image_size: int | None = option(
        None, read.whole(8), "height and width images are brought to, by default the model's own", metavar="PIXELS"
    )
    augment: str = option(
        "none", read.choice("none", "crop", "flip"),
        "vary training images: crop = random crops, flip = crops and mirror images", metavar="none|crop|flip",
    )
    class_weights: str = option(
        "none", read.choice("none", "balanced"), "weigh rare classes more in the loss", metavar="none|balanced"
    )
    patience: int = option(
        0, read.whole(0), "stop after so many evaluations without a better score; 0 = never", metavar="N"
    )
    search: int = option(0, read.whole(0), "trials of a hyperparameter search; 0 = none", metavar="N")
    device: str = option("auto", read.device, "where to train", metavar="auto|cpu|cuda[:N]")
    precision: str = option(
        "auto", read.choice("auto", "fp32", "bf16", "fp16"),
        "arithmetic of the float phase; auto = bf16 on a GPU that has it, else fp32", metavar="auto|fp32|bf16|fp16",
    )
    seed: int = option(0, read.whole(0), "seed of splits, order and new weights", metavar="N")
    workers: int = option(0, read.whole(0), "processes that load examples; 0 = load in the training process", metavar="N")
    report_to: str = option("none", read.text, "experiment trackers, as transformers names them", metavar="NAME")
    text_column: str | None = option(None, read.text, "column of a table that holds the text", metavar="NAME")
    label_column: str | None = option(None, read.text, "column of a table that holds the label", metavar="NAME")
    calibration_samples: int = option(
        512, read.whole(1), "training examples that ranges are calibrated on", metavar="N"
    )
    output: Path = option(Path("run"), read.path, "folder of the run", short="o", metavar="RUN", output=True)
    resume: bool = option(False, read.flag, "go on from the last checkpoint in --output", flag=True, output=True)
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


@dataclass(frozen=True)
class ExportSpec:
    """What `edgeft export` is to do."""

    run: Path = option(..., read.path, "folder that edgeft tune wrote", argument=True, from_recipe=True)
    profile: str | None = option(
        None, read.text, "hardware profile, by default the one the run was tuned for", short="p", from_recipe=True,
        metavar="NAME|FILE",
    )
    output: Path = option(Path("bundle"), read.path, "folder of the bundle", short="o", metavar="BUNDLE", output=True)
    variants: tuple[str, ...] = option(
        VARIANTS, read.names(*VARIANTS), "models to write, with commas between them", metavar="NAME,..."
    )
    opset: int | None = option(None, read.whole(13), "ONNX opset, by default the lowest the scheme needs", metavar="N")
    archive: bool = option(False, read.flag, "also pack the bundle into one .edgeft.tar.gz", flag=True)
    samples: int | None = option(
        None, read.whole(1), "held-out examples to carry along, by default all", metavar="N"
    )
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


@dataclass(frozen=True)
class EvalSpec:
    """What `edgeft eval` is to do."""

    bundle: Path = option(
        ..., read.path, "folder that edgeft export wrote, or an .edgeft.tar.gz of it", argument=True, from_recipe=True
    )
    profile: str = option(
        "auto", read.text, "hardware profile; auto = the one that fits this machine", short="p", from_recipe=True,
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
        "auto", read.text, "energy meter: auto, none, its name, or a power log", from_recipe=True,
        metavar="auto|none|NAME|FILE.csv",
    )
    budget: str | None = option(
        None, _budget, "limits to keep, as in accuracy>=-1pt,latency_p90<=20ms; a miss ends with exit code 3",
        metavar="LIMITS",
    )
    seed: int = option(0, read.whole(0), "seed of the order of blocks and samples", metavar="N")
    output: Path = option(Path("result"), read.path, "folder of the result", short="o", metavar="RESULT", output=True)
    format: str = option(
        "text", read.choice("text", "markdown", "json", "html"), "what is printed", metavar="text|markdown|json|html",
        output=True,
    )
    dry_run: bool = option(False, read.flag, _DRY_RUN, flag=True, output=True)


Spec = TypeVar("Spec", TuneSpec, ExportSpec, EvalSpec)
SECTIONS: Mapping[str, type[Any]] = MappingProxyType({"tune": TuneSpec, "export": ExportSpec, "eval": EvalSpec})


@dataclass(frozen=True)
class Recipe:
    """Values by section and field, read and checked, and where each came from ("recipe", "--set", "command line").

    source  the recipe file, if there is one
    """

    values: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    source: Path | None = None

    def spec(self, section: str, **missing: Any) -> Any:
        """The spec of `section`; `missing` are values for fields that were not given."""
        return _build(SECTIONS[section], {**missing, **self.values.get(section, {})})


def options_of(spec: type[Any]) -> dict[str, Option]:
    """Field name -> Option, in the order of definition."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(spec)}


def command_of(spec: Any) -> str:
    """The command (and recipe section) a spec or its class belongs to."""
    kind = spec if isinstance(spec, type) else type(spec)
    return next(name for name, known in SECTIONS.items() if known is kind)


def make_spec(kind: type[Spec], values: Mapping[str, Any]) -> Spec:
    """A spec from Python values. Raises UsageError for an unknown name, a wrong value or a missing one."""
    return _build(kind, _read_values(kind, values, "edgeft."))


def as_settings(spec: Any) -> dict[str, Any]:
    """The settings as JSON can hold them."""
    return {name: _plain(getattr(spec, name)) for name in options_of(type(spec))}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _build(kind: type[Any], values: Mapping[str, Any]) -> Any:
    for item in dataclasses.fields(kind):
        if item.default is dataclasses.MISSING and item.name not in values:
            name = item.name.upper() if item.metadata["option"].argument else f"--{item.name}"
            command = command_of(kind)
            raise UsageError(f"edgeft {command} needs {name}", f"see edgeft {command} --help")
    return kind(**values)


def _read_values(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = options_of(kind)
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UsageError(f"{where}{command_of(kind)} has no setting {key!r}", did_you_mean(name, known))
        if name in found:
            raise UsageError(f"{where}{command_of(kind)} gives {key!r} twice", "keep one of them")
        found[name] = read_value(known[name], value, f"{where}{command_of(kind)}: {key} = {value!r}")
    return found


def read_value(known: Option, value: Any, where: str) -> Any:
    """The typed value. Raises UsageError that begins with `where`; None (from Python) stands for the default None."""
    if value is None:
        return None
    try:
        return known.read(value)
    except ValueError as error:
        raise UsageError(f"{where} is not right", str(error)) from None


def gather(
    section: str | None, recipe: Path | None, settings: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> Recipe:
    """Everything a person gave, the later over the earlier: recipe file, --set pairs, command-line options.

    section  the command that is run, or None for all three (edgeft run)
    given    command-line options of `section`, by field name
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    origins: dict[str, dict[str, str]] = {name: {} for name in SECTIONS}
    layers = [("recipe", _read_file(recipe) if recipe else {}), ("--set", _read_settings(section, settings))]
    if section is not None:
        layers.append(("command line", {section: _read_given(section, given or {})}))
    for origin, layer in layers:
        for name, found in layer.items():
            values[name].update(found)
            origins[name].update(dict.fromkeys(found, origin))
    return Recipe(values, origins, recipe)


def read_recipe(recipe: Path | str, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """A recipe file, with sections of overrides from Python."""
    base = gather(None, Path(recipe))
    values = {name: dict(found) for name, found in base.values.items()}
    for section, given in _known_sections(overrides or {}, "the overrides").items():
        values[section].update(_read_values(SECTIONS[section], given, "edgeft."))
    return dataclasses.replace(base, values=values)


def _read_given(section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = options_of(SECTIONS[section])
    return {
        name: read_value(known[name], value, f"{_spelled(name, known[name])} {value!r}") for name, value in given.items()
    }


def _spelled(name: str, known: Option) -> str:
    return name.upper() if known.argument else "--" + name.replace("_", "-")


def _read_file(recipe: Path) -> dict[str, dict[str, Any]]:
    document = _known_sections(_parse_toml(recipe), str(recipe))
    found = {}
    for section, values in document.items():
        typed = _read_values(SECTIONS[section], values, f"{recipe}: ")
        known = options_of(SECTIONS[section])
        found[section] = {
            name: _beside(recipe, value) if known[name].from_recipe else value for name, value in typed.items()
        }
    return found


def _parse_toml(recipe: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    if not recipe.is_file():
        raise UsageError(f"there is no recipe {recipe}", "give --recipe the path of a TOML file")
    try:
        return tomllib.loads(recipe.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{recipe} is not TOML: {error}", "correct that line") from None


def _known_sections(document: Mapping[str, Any], where: str) -> Mapping[str, Mapping[str, Any]]:
    for section, values in document.items():
        if section not in SECTIONS:
            raise UsageError(f"{where} has a section or key {section!r}", did_you_mean(section, SECTIONS))
        if not isinstance(values, Mapping):
            raise UsageError(f"{where}: {section} is no section", f"write [{section}] and its keys below it")
    return document


_FACTORY = re.compile(r"(.+\.py)(:[A-Za-z_]\w*)")


def _beside(recipe: Path, value: Any) -> Any:
    """`value` as a path beside the recipe when there is such a file or folder, else `value` as it is."""
    factory = _FACTORY.fullmatch(str(value))
    given, rest = factory.groups() if factory else (str(value), "")
    near = recipe.parent / given
    # A profile or meter is first of all a name: a folder that happens to be called so must not hide it.
    if Path(given).is_absolute() or not near.exists():
        return value
    return type(value)(f"{near}{rest}")


def _read_settings(section: str | None, settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} has no value", "write --set key=value")
        prefix, dot, name = key.strip().rpartition(".")
        target = prefix if dot else section
        if target not in SECTIONS:
            wanted = "write it as tune.KEY, export.KEY or eval.KEY"
            raise UsageError(f"--set {setting} names no section", wanted if not dot else did_you_mean(prefix, SECTIONS))
        if section not in (None, target):
            raise UsageError(f"--set {setting} has no effect in edgeft {section}", f"give it to edgeft {target}")
        found.setdefault(target, {}).update(_read_values(SECTIONS[target], {name: value.strip()}, "--set "))
    return found


def describe(spec: Any, origins: Mapping[str, str] | None = None) -> str:
    """The resolved settings, one a line, as TOML; what is not the default says where it came from."""
    lines = [f"[{command_of(spec)}]"]
    for name, value in as_settings(spec).items():
        if value is None:
            continue
        origin = (origins or {}).get(name, "")
        line = f"{name.replace('_', '-')} = {_toml(value)}"
        lines.append(f"{line:<44} # {origin}" if origin else line)
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value:g}" if isinstance(value, float) else str(value)
