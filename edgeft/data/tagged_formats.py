"""Files of tagged sentences: text of a file -> sentences, each with the line it begins on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.data import tags
from edgeft.data.columns import Columns
from edgeft.data.found import one_form
from edgeft.errors import DataError, did_you_mean

WORD_KEYS, TAG_KEYS = ("tokens", "words"), ("tags", "ner_tags", "ner", "labels")
_DOCUMENT = "-DOCSTART-"
# Tags are looked at in so many lines to tell these files from other tables.
_LOOKED_AT = 200
_SHOWN = 3


@dataclass(frozen=True)
class Sentence:
    """line where it begins; words and tags as they stand in the file, equally many, none of them empty."""

    line: int
    words: tuple[str, ...]
    tags: tuple[str, ...]


def parse_conll(text: str, path: Path, columns: Columns) -> list[Sentence]:
    """One word a line, its tag in the last column; a blank line ends a sentence, -DOCSTART- lines are left out.

    Columns are parted by tabs where a line has any, else by spaces. Raises DataError naming file and line.
    """
    found, start = [], 0
    words: list[str] = []
    marks: list[str] = []
    for number, line in enumerate([*_lines(text), ""], 1):
        cells = _cells(line)
        if not cells or cells[0] == _DOCUMENT:
            if words:
                found.append(Sentence(start, tuple(words), tuple(marks)))
            words, marks = [], []
            continue
        if len(cells) < 2 or not cells[0]:
            raise DataError(
                f"{path}:{number} has {'no word' if not cells[0] else 'no tag'} ({line.strip()[:40]!r})",
                "write a word, a tab or a space, and its tag (O for none); a blank line ends a sentence",
            )
        if fault := tags.wrong(cells[-1]):
            raise DataError(f"{path}:{number}: {fault}", "write tags as O, B-person, I-person")
        start = start if words else number
        words.append(_whole(one_form(cells[0]), f"{path}:{number}"))
        marks.append(one_form(cells[-1]))
    return found


def _lines(text: str) -> Iterator[str]:
    """Lines end at \\n, with or without \\r before it: U+2028 and its like are part of a word."""
    return (line.removesuffix("\r") for line in text.split("\n"))


def _cells(line: str) -> list[str]:
    """The columns of a line; none for a blank one. Blanks that are not ASCII may be words."""
    bare = line.strip(" \t")
    parted = bare.split("\t") if "\t" in bare else re.split(" +", bare)
    return [cell.strip(" ") for cell in parted] if bare else []


def _whole(word: str, where: str) -> str:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where} has half of a character (a lone surrogate)", "repair the file") from error
    return word


def parse_jsonl(text: str, path: Path, columns: Columns) -> list[Sentence]:
    """One object a line with a list of words and one of tags, by their usual keys or those that `columns` names."""
    found = []
    for number, line in enumerate(_lines(text), 1):
        if line.strip():
            found.append(_sentence(_record(line, f"{path}:{number}"), number, f"{path}:{number}", columns))
    return found


def _record(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error})", "write one JSON object on each line") from error
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object", 'write lines such as {"tokens": ["Hi"], "tags": ["O"]}')
    return record


def _sentence(record: Mapping[str, Any], number: int, where: str, columns: Columns) -> Sentence:
    words = _list(record, columns.text, WORD_KEYS, "words", where)
    marks = _list(record, columns.label, TAG_KEYS, "tags", where)
    if len(words) != len(marks):
        raise DataError(f"{where} has {len(words)} words and {len(marks)} tags", "give every word one tag, O for none")
    if not words:
        raise DataError(f"{where} has no words", "leave this line out")
    if "" in words:
        raise DataError(f"{where}: word {words.index('') + 1} is empty", "leave it and its tag out")
    for mark in marks:
        if fault := tags.wrong(mark):
            raise DataError(f"{where}: {fault}", "write tags as O, B-person, I-person")
    whole = [_whole(one_form(word), where) for word in words]
    return Sentence(number, tuple(whole), tuple(one_form(mark) for mark in marks))


def _list(record: Mapping[str, Any], named: str | None, usual: Sequence[str], what: str, where: str) -> list[str]:
    key = named or next((name for name in usual if name in record), usual[0])
    values = record.get(key)
    if values is None:
        raise DataError(f"{where} has no {key!r}, the list of {what}", did_you_mean(key, list(record)))
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        found = next((value for value in values if not isinstance(value, str)), "") if isinstance(values, list) else ""
        numbers = f" (it holds {found!r}; numbers say nothing without their names)" if isinstance(found, int) else ""
        raise DataError(f"{where}: {key!r} is no list of texts{numbers}", 'write ["B-person", "O"]')
    return values


Parse = Callable[[str, Path, Columns], list[Sentence]]
# Suffixes that say so; .txt and those of tables are looked into.
CONLL = frozenset({".conll", ".conll03", ".bio", ".iob", ".iob2", ".bioes", ".bilou"})
MAYBE_CONLL = frozenset({".txt", ".tsv", ".tab", ".train", ".dev", ".valid", ".test", ".testa", ".testb"})
MAYBE_LINES = frozenset({".jsonl", ".ndjson"})


def parser_of(path: Path) -> Parse | None:
    """What reads `path`; None when it holds no tagged sentences, as far as its name and first lines tell."""
    suffix = path.suffix.lower()
    if suffix in CONLL:
        return parse_conll
    if suffix in MAYBE_CONLL and _looks_like_conll(_head(path)):
        return parse_conll
    return parse_jsonl if suffix in MAYBE_LINES and _looks_like_lists(_head(path)) else None


def _head(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
            return [line for line, _ in zip(file, range(_LOOKED_AT), strict=False)]
    except OSError:
        return []


def _looks_like_conll(lines: Sequence[str]) -> bool:
    """Do the last columns hold tags? A first line of another table names its columns."""
    cells = [cells for line in lines if (cells := _cells(line.rstrip("\r\n"))) and cells[0] != _DOCUMENT]
    tagged = [len(row) > 1 and (row[-1] == tags.NONE or row[-1][:2] in _MARKS) for row in cells]
    return bool(tagged) and sum(tagged) > len(tagged) / 2


_MARKS = frozenset(f"{prefix}-" for prefix in tags.PREFIXES)


def _looks_like_lists(lines: Sequence[str]) -> bool:
    """Does the first object hold a list of words? Texts with labels hold a text."""
    try:
        first = json.loads(next(line for line in lines if line.strip()))
        lists = [key for key, value in first.items() if isinstance(value, list)]
        return len(lists) > 1 or bool({*lists} & {*WORD_KEYS})
    except (StopIteration, ValueError, AttributeError):
        return False
