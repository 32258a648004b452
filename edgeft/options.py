"""What one option of a command is, and how its value is read, from the command line and from TOML alike.

A reader takes whatever was given (text, or a TOML value) and returns the typed value, or raises ValueError with
what would have been right.
"""

from __future__ import annotations

import dataclasses
import keyword
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.errors import did_you_mean

Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class Option:
    """How one field of a spec is offered to a person.

    read      turns text or a TOML value into the field's value
    help      one sentence; the default is added by the command line
    short     one letter, when there is a short flag
    metavar   what the help shows for the value
    flag      takes no value on the command line
    argument  is given by position
    from_recipe  "path": may be a relative path, looked for beside the recipe first; "file": only files are
    output    says where or how results are written, not what they are: no reason to do a step again
    """

    read: Reader
    help: str
    short: str = ""
    metavar: str = "TEXT"
    flag: bool = False
    argument: bool = False
    from_recipe: str = ""
    output: bool = False


def option(default: Any, read: Reader, help: str, **more: Any) -> Any:
    """A dataclass field that carries its Option; `...` as default means that a value must be given."""
    metadata = {"option": Option(read, help, **more)}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def spelled(field: str) -> str:
    """How a person writes the name of a field: "keep-float" for keep_float, "raise" for raise_ (Python's own word)."""
    return field.rstrip("_").replace("_", "-")


def field_of(name: str) -> str:
    """The field a person means by `name`."""
    plain = name.replace("-", "_")
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def text(value: Any) -> str:
    if not isinstance(value, (str, Path)) or not str(value).strip():
        raise ValueError("expected some text")
    return str(value)


def path(value: Any) -> Path:
    return Path(text(value)).expanduser()


def flag(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("expected true or false")


def whole(low: int, high: int | None = None) -> Reader:
    """A whole number of at least `low`, and at most `high` where there is a limit."""

    def read(value: Any) -> int:
        limit = "" if high is None else f" and at most {high}"
        wrong = ValueError(f"expected a whole number of at least {low}{limit}")
        if isinstance(value, (bool, float)):
            raise wrong
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise wrong from None
        if number < low or (high is not None and number > high):
            raise wrong
        return number

    return read


def number(low: float, *, above: bool = False) -> Reader:
    """A finite number of at least `low`, or above it."""

    def read(value: Any) -> float:
        wrong = ValueError(f"expected a number {'above' if above else 'of at least'} {low:g}")
        if isinstance(value, bool):
            raise wrong
        try:
            given = float(value)
        except (TypeError, ValueError):
            raise wrong from None
        if not math.isfinite(given) or given < low or (above and given == low):
            raise wrong
        return given

    return read


def share(value: Any) -> float:
    """A number from 0 to below 1."""
    given = float(number(0)(value))
    if given >= 1:
        raise ValueError("expected a number from 0 to below 1")
    return given


def part(value: Any) -> float:
    """A number from 0 to 1."""
    given = float(number(0)(value))
    if given > 1:
        raise ValueError("expected a number from 0 to 1")
    return given


def factor(value: Any) -> float:
    """A number above 0 and at most 1."""
    given = float(number(0, above=True)(value))
    if given > 1:
        raise ValueError("expected a number above 0 and at most 1")
    return given


def choice(*words: str) -> Reader:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(did_you_mean(str(value), words))
        return str(value)

    return read


def names(*words: str) -> Reader:
    """One or more of `words` (any names when none are given): a TOML list, or text with commas."""

    def read(value: Any) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
            raise ValueError("expected names with commas between them")
        found = tuple(dict.fromkeys(item.strip() for item in items if item.strip()))
        if not found:
            raise ValueError("expected at least one name")
        for item in found:
            if words and item not in words:
                raise ValueError(f"{item!r} is not one of them, {did_you_mean(item, words)}")
        return found

    return read


def batch_size(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    try:
        return int(whole(1)(value))
    except ValueError:
        raise ValueError("expected a whole number of at least 1, or auto") from None


def audio_seconds(value: Any) -> float | str:
    if value == "free":
        return "free"
    try:
        return float(number(0, above=True)(value))
    except ValueError:
        raise ValueError("expected a number of seconds above 0, or free") from None


def device(value: Any) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(value)):
        raise ValueError("expected auto, cpu, cuda or cuda:N")
    return str(value)


def scenario(value: Any) -> str:
    """single-stream, offline, or paced:MS (a query every MS milliseconds)."""
    if not re.fullmatch(r"single-stream|offline|paced:\d*\.?\d+", str(value)) or re.fullmatch(r"paced:0*\.?0*", value):
        raise ValueError("expected single-stream, offline or paced:MS, as in paced:100")
    return str(value)


_WATTS = re.compile(r"(\d*\.?\d+)(?:-(\d*\.?\d+))?")


def watts(value: str) -> tuple[float, float]:
    """Low and high of "7.5" or "5-7.2"."""
    match = _WATTS.fullmatch(value)
    low, high = (float(match[1]), float(match[2] or match[1])) if match else (0.0, 0.0)
    if not 0 < low <= high:
        raise ValueError("expected watts as in 7.5 or 5-7.2, or profile for those published for the board")
    return low, high


def energy_model(value: Any) -> str:
    """Watts, or the word profile."""
    if value != "profile":
        watts(str(value))
    return str(value)


_FREEZE = re.compile(r"backbone|none|embeddings|lora|last:[1-9]\d*")


def freeze(value: Any) -> str:
    """What stays as it is: one kind for the whole run, or a schedule KIND:EPOCHS,…,KIND."""
    wrong = "expected backbone, none, last:N, embeddings, lora, regex:PATTERN, or a schedule as in backbone:1,none"
    given = text(value)
    if given.startswith("regex:"):
        return _freeze_pattern(given)
    steps = given.split(",")
    for step in steps[:-1]:
        kind, _, epochs = step.rpartition(":")
        if not _FREEZE.fullmatch(kind) or not re.fullmatch(r"\d*\.?\d+", epochs):
            raise ValueError(wrong)
    if not _FREEZE.fullmatch(steps[-1]):
        raise ValueError(f"{wrong}{_meant(steps[-1])}")
    return given


def _meant(word: str) -> str:
    hint = did_you_mean(word, ["backbone", "none", "embeddings", "lora"])
    return f"; {hint}" if hint.startswith("did") else ""


def _freeze_pattern(given: str) -> str:
    try:
        re.compile(given.removeprefix("regex:"))
    except re.error as error:
        raise ValueError(f"the pattern after regex: is not a regular expression ({error})") from None
    return given
