"""Results of several machines, bundles and dates side by side; a ratio only where conditions allow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft.errors import UsageError, did_you_mean
from edgeft.evaluation.result import Result
from edgeft.report import words
from edgeft.report.markdown import table

# Two results are comparable only when all of these are equal.
CONDITIONS = (
    "system.profile_id", "system.power_mode", "system.governor", "runtime.onnxruntime.version", "runtime.ep_requested",
    "runtime.intra_threads", "runtime.graph_opt_level", "scenario", "data.sha256", "data.preprocessing_sha",
)  # fmt: skip
_HEAD = ("result", "variant", "accuracy", "p50 ms", "p90 ms", "size MB", "peak MB", "p50 against first")


def compare(paths: Sequence[str | Path], format: str = "text") -> str:
    """A table of all variants of all results, and the conditions in which results differ from the first.

    Raises FolderError for a folder without a whole result, UsageError for fewer than two or an unknown format.
    """
    if len(paths) < 2:
        raise UsageError("edgeft compare needs at least two results", "edgeft compare RESULT RESULT …")
    if format not in _FORMATS:
        raise UsageError(f"edgeft compare does not print {format!r}", did_you_mean(format, _FORMATS))
    results = [Result.open(path) for path in paths]
    names = _names(results)
    differing = [differences(results[0].document, one.document) for one in results]
    lines = [line for one, name, differs in zip(results, names, differing, strict=True)
             for line in _lines(one, name, results[0], bool(differs))]  # fmt: skip
    notes = [note for name, differs in zip(names, differing, strict=True) for note in _notes(name, names[0], differs)]
    return str(_FORMATS[format](lines, notes))


def differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(field, value in `first`, value in `other`) of every condition that is not equal."""
    pairs = [(field, _at(first, field), _at(other, field)) for field in CONDITIONS]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _at(document: Mapping[str, Any], field: str) -> str:
    value: Any = document
    for key in field.split("."):
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return "absent" if value == {} else str(value)


def _names(results: Sequence[Result]) -> list[str]:
    """The folders' names, numbered where two are alike."""
    names = [one.path.resolve().name for one in results]
    return [name if names.count(name) == 1 else f"{name} #{i + 1}" for i, name in enumerate(names)]


def _lines(one: Result, name: str, first: Result, differs: bool) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for row in words.rows(one.document):
        ratio = _ratio(first.document, one.document, row.name) if not differs else "differs, see below"
        found.append((name, row.name, row.accuracy, row.p50, row.p90, row.size, row.memory, ratio))
    return found


def _ratio(first: Mapping[str, Any], other: Mapping[str, Any], variant: str) -> str:
    if first is other:
        return "first"
    if variant not in first["variants"]:
        return words.ABSENT
    before, after = (doc["variants"][variant]["latency"]["p50_s"] for doc in (first, other))
    return f"{before / after:.2f}x"


def _notes(name: str, first: str, differs: Sequence[tuple[str, str, str]]) -> list[str]:
    return [f"{name} differs from {first} in {field}: {there} instead of {here}" for field, here, there in differs]


def _text(lines: Sequence[tuple[str, ...]], notes: Sequence[str]) -> str:
    cells = [_HEAD, *lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    shown = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
    ending = ["", "no speed ratio is given across differing conditions:", *notes] if notes else []
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:], *ending])


def _markdown(lines: Sequence[tuple[str, ...]], notes: Sequence[str]) -> str:
    ending = ["", "No speed ratio is given across differing conditions:", "", *[f"- {note}" for note in notes]]
    return "\n".join([table(_HEAD, lines), *(ending if notes else [])])


_FORMATS = {"text": _text, "markdown": _markdown}
