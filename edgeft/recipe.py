"""Recipes: TOML files with the sections [tune], [export] and [eval], and what overrides them.

[budget] is another way to write eval.budget, one limit a key: latency_p90 = "<=20ms".

What is given later wins: default, recipe file, --set, command line. Unknown names and wrong values are refused
before any work starts.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edgeft.budget import QUANTITIES
from edgeft.errors import UsageError, did_you_mean
from edgeft.options import Option, field_of, spelled
from edgeft.specs import SECTIONS, EvalSpec, ExportSpec, TuneSpec
from edgeft.toml import parse_toml

__all__ = [
    "SECTIONS", "EvalSpec", "ExportSpec", "Recipe", "TuneSpec", "as_settings", "command_of", "describe", "gather",
    "make_spec", "options_of", "read_recipe",
]

Spec = TypeVar("Spec", TuneSpec, ExportSpec, EvalSpec)


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
    spec: Spec = _build(kind, _read_values(kind, values, "edgeft.", python=True))
    return spec


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
            name = item.name.upper() if item.metadata["option"].argument else f"--{spelled(item.name)}"
            command = command_of(kind)
            raise UsageError(f"edgeft {command} needs {name}", f"see edgeft {command} --help")
    return kind(**values)


def _read_values(kind: type[Any], values: Mapping[str, Any], where: str, python: bool = False) -> dict[str, Any]:
    """python: keys are names of fields as Python writes them ("raise_"); else as options are spelled ("raise")."""
    known = options_of(kind)
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = field_of(str(key))
        written = str if python else spelled
        if name not in known or (not python and spelled(name) != str(key).replace("_", "-")):
            names = [written(each) for each in known]
            raise UsageError(f"{where}{command_of(kind)} has no setting {key!r}", did_you_mean(written(name), names))
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
        values[section].update(_read_values(SECTIONS[section], given, "edgeft.", python=True))
    return dataclasses.replace(base, values=values)


def _read_given(section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    known = options_of(SECTIONS[section])
    return {
        name: read_value(known[name], value, f"{_spelled(name, known[name])} {value}") for name, value in given.items()
    }


def _spelled(name: str, known: Option) -> str:
    return name.upper() if known.argument else f"--{spelled(name)}"


def _read_file(recipe: Path) -> dict[str, dict[str, Any]]:
    document = _known_sections(_with_budget(_parse(recipe), recipe), str(recipe))
    found = {}
    for section, values in document.items():
        typed = _read_values(SECTIONS[section], values, f"{recipe}: ")
        known = options_of(SECTIONS[section])
        found[section] = {
            name: _beside(recipe, value, known[name].from_recipe) for name, value in typed.items()
        }
    return found


def _parse(recipe: Path) -> dict[str, Any]:
    if not recipe.is_file():
        raise UsageError(f"there is no recipe {recipe}", "give --recipe the path of a TOML file")
    try:
        return parse_toml(recipe)
    except ValueError as error:
        raise UsageError(f"{recipe} is not TOML: {error}", "correct that line") from None


def _with_budget(document: dict[str, Any], recipe: Path) -> dict[str, Any]:
    """The document with the section [budget] put into eval.budget."""
    given = document.pop("budget", None)
    if given is None:
        return document
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"{recipe}: budget is no section", "write [budget], and below it size = \"<=10MB\"")
    evaluation = document.setdefault("eval", {})
    if "budget" in evaluation:
        raise UsageError(f"{recipe} has [budget] and eval.budget", "keep one of them")
    for quantity, limit in given.items():
        if quantity not in QUANTITIES:
            raise UsageError(f"{recipe}: [budget] has a key {quantity!r}", did_you_mean(quantity, QUANTITIES))
        if not isinstance(limit, str):
            raise UsageError(f"{recipe}: budget.{quantity} = {limit!r} is not right", 'write it as "<=20ms"')
    evaluation["budget"] = ",".join(f"{quantity}{limit}" for quantity, limit in given.items())
    return document


def _known_sections(document: Mapping[str, Any], where: str) -> Mapping[str, Mapping[str, Any]]:
    for section, values in document.items():
        if section not in SECTIONS:
            raise UsageError(f"{where} has a section or key {section!r}", did_you_mean(section, SECTIONS))
        if not isinstance(values, Mapping):
            raise UsageError(f"{where}: {section} is no section", f"write [{section}] and its keys below it")
    return document


# A file with something behind it: FILE.py:factory, FILE.csv@what it covers.
_WITH_MORE = re.compile(r"(.+\.py(?=:[A-Za-z_]\w*$)|.+\.csv(?=@))(.+)")


def _beside(recipe: Path, value: Any, rule: str) -> Any:
    """`value` as a path beside the recipe when such a file (or, by the rule "path", folder) is there."""
    more = _WITH_MORE.fullmatch(str(value))
    given, rest = more.groups() if more else (str(value), "")
    near = recipe.parent / given
    found = near.is_file() if rule == "file" else near.exists()
    if not rule or not found or Path(given).is_absolute():
        return value
    return type(value)(f"{near}{rest}")


def _read_settings(section: str | None, settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting} has no value", "write --set key=value")
        prefix, dot, name = key.strip().rpartition(".")
        target = prefix if dot else section or ""
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
        line = f"{spelled(name)} = {_toml(value)}"
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
