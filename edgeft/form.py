"""What a JSON document must look like, as data, and one line about the first field that is otherwise.

A document whose hash is right may still have been written by another program: what reads it later would stop with an
error about Python's types, which says nothing about the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from types import MappingProxyType
from typing import Any, Protocol

_SHOWN = 40


class Form(Protocol):
    """wrong: what is not right with `value`, which stands at `where` ("variants.int8.file"); None when all is."""

    def wrong(self, value: Any, where: str) -> str | None: ...


@dataclass(frozen=True)
class Kind:
    """One plain value. words: what it should be, for a person."""

    words: str
    holds: Callable[[Any], bool]

    def wrong(self, value: Any, where: str) -> str | None:
        return None if self.holds(value) else f"{where} is {_shown(value)} and should be {self.words}"


@dataclass(frozen=True)
class Record:
    """An object with these fields; of `optional` those that are there (null stands for absent); others are free."""

    fields: Mapping[str, Form] = field(default_factory=dict)
    optional: Mapping[str, Form] = field(default_factory=lambda: MappingProxyType({}))

    def wrong(self, value: Any, where: str) -> str | None:
        if not isinstance(value, Mapping):
            return f"{where} is {_shown(value)} and should be an object"
        for name, form in {**self.fields, **self.optional}.items():
            if name in self.optional and value.get(name) is None:
                continue
            place = f"{where}.{name}" if where else name
            found = form.wrong(value[name], place) if name in value else f"{place} is missing"
            if found is not None:
                return found
        return None


@dataclass(frozen=True)
class Many:
    """A list of at least `least` values of one form."""

    form: Form
    least: int = 0

    def wrong(self, value: Any, where: str) -> str | None:
        if not isinstance(value, (list, tuple)) or len(value) < self.least:
            return f"{where} is {_shown(value)} and should be a list{_of(self.least)}"
        return _first(self.form.wrong(each, f"{where}[{index}]") for index, each in enumerate(value))


@dataclass(frozen=True)
class Named:
    """An object that gives values of one form to at least `least` names of the writer's choice."""

    form: Form
    least: int = 0

    def wrong(self, value: Any, where: str) -> str | None:
        if not isinstance(value, Mapping) or len(value) < self.least:
            return f"{where} is {_shown(value)} and should be an object{_of(self.least)}"
        return _first(self.form.wrong(each, f"{where}.{name}") for name, each in value.items())


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


TEXT = Kind("a text", lambda value: isinstance(value, str) and value != "")
WHOLE = Kind("a whole number", is_whole)
SIZE = Kind("a whole number above 0", lambda value: is_whole(value) and value > 0)
NUMBER = Kind("a number", is_number)


def numbers(count: int, words: str, holds: Callable[[Any], bool] = is_number) -> Kind:
    """A list of `count` numbers, for each of which `holds`."""
    return Kind(words, lambda value: isinstance(value, (list, tuple)) and len(value) == count
                and all(is_number(each) and holds(each) for each in value))  # fmt: skip


def distinct(value: Any) -> bool:
    """A list of different texts, at least one."""
    return isinstance(value, list) and bool(value) and all(map(_is_text, value)) and len({*value}) == len(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _of(least: int) -> str:
    return f" of at least {least}" if least else ""


def _first(found: Any) -> str | None:
    return next((one for one in found if one is not None), None)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


__all__ = [
    "NUMBER", "SIZE", "TEXT", "WHOLE", "Form", "Kind", "Many", "Named", "Record", "distinct", "is_number", "numbers",
]  # fmt: skip
