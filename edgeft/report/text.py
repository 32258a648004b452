"""The table for the terminal: 80 columns, ASCII, readable when redirected."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from edgeft.evaluation.result import Result
from edgeft.report import words
from edgeft.report.budget_words import budget_lines
from edgeft.report.words import Row

WIDTH = 80
_HEAD = ("variant", "accuracy", "p50 ms", "p90 ms", "speedup", "size MB", "peak MB")
# Where energy was measured its column takes the place of the memory's, which moves to the second line.
_ENERGY_HEAD = ("variant", "accuracy", "p50 ms", "p90 ms", "speedup", "mJ", "size MB")


def render(result: Result) -> str:
    document = result.document
    parts = [
        table(words.rows(document), words.metric(document)),
        _listed(words.energy_pairs(document)),
        _listed(words.conditions(document)),
        _listed(words.details(document)),
        _titled("right answers by slice", (f"{part}: {text}" for part, text in words.slices(document))),
        _titled("claims", map(words.claim_line, document["claims"])),
        _titled("flags" if document["validity"]["valid"] else "flags: NOT VALID", _flags(document)),
        _titled("budget", budget_lines(document)),
    ]
    return "\n\n".join(part for part in parts if part)


def _flags(document: Mapping[str, Any]) -> list[str]:
    return [words.flag_line(flag) for flag in document["validity"]["flags"]]


def table(rows: Sequence[Row], metric: str = "accuracy") -> str:
    """Two lines a variant: figures, and below them the intervals against the baseline."""
    energy = any(row.joules != words.ABSENT for row in rows)
    name_, _, *rest = _ENERGY_HEAD if energy else _HEAD
    cells: list[tuple[str, ...]] = [(name_, metric, *rest)]
    for row in rows:
        last, below = _last_columns(row, energy)
        name = f"{row.name} !" if row.flagged else row.name
        cells.append((name, f"{row.accuracy} {row.verdict}", row.p50, row.p90, row.speedup, *last))
        if energy or row.difference != words.ABSENT or row.speed_interval != words.ABSENT:
            cells.append(("", *_blank(row.difference), "", "", *_blank(row.speed_interval, *below)))
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    lines = [_line(line, widths) for line in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _last_columns(row: Row, energy: bool) -> tuple[tuple[str, str], tuple[str, str]]:
    """What stands in them, and below."""
    if not energy:
        return (row.size, row.memory), ("", "")
    memory = row.memory if row.memory == words.ABSENT else f"{row.memory} RAM"
    return (row.joules, row.size), (row.energy_ratio, memory)


def _blank(*cells: str) -> tuple[str, ...]:
    """A second line leaves out what is absent."""
    return tuple("" if cell == words.ABSENT else cell for cell in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[:2] = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    return "  ".join(padded).rstrip()


def _listed(pairs: Sequence[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(_wrapped(text, f"{name:<{width}}  ", " " * (width + 2)) for name, text in pairs)


def _titled(title: str, lines: Any) -> str:
    body = [_wrapped(line, "- ", "  ") for line in lines]
    return "\n".join([title, *body]) if body else ""


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
