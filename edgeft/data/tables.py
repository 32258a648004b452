"""Texts, or names of sound files, and labels in CSV, TSV, JSONL and Parquet tables: one file, or a folder with a file
for each split.

CSV and TSV are read as RFC 4180 says, through the csv module: quotes double inside quotes, and a quoted field may hold
line breaks. Everything is text: a label is what stands in the file, so 01, 1 and 1.0 are three labels. Space around a
label is dropped, a text is kept as it is. An empty text or a missing label stops the run, naming file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeft.data.columns import Columns, position, text_and_label
from edgeft.data.found import ALL, Found, Row, by_split, is_system, one_form, split_of
from edgeft.data.listing import subfolders
from edgeft.data.media import SOUNDS
from edgeft.data.sound_tables import sound_column, with_sounds
from edgeft.data.table_formats import FORMATS, Nested, Values, content_of
from edgeft.data.tagged import holds_tagged
from edgeft.errors import DataError
from edgeft.files import sha256_text

_NAMED = 5


@dataclass(frozen=True)
class Table:
    """Column names, and rows as (line they begin on, values by column; None where there is none)."""

    path: Path
    header: list[str]
    rows: list[tuple[int, Values]]


class TableReader:
    takes = (
        "a CSV, TSV, JSONL or Parquet table with a column of texts or of sound files and one of labels (or a folder "
        "with one named train)"
    )

    def can_read(self, data: str) -> bool:
        path = Path(data).expanduser()
        if holds_tagged(path):
            return False
        if path.is_dir():
            return has_training_table(path) or (bool(tables_in(path)) and not subfolders(path))
        return path.is_file() and path.suffix.lower() in FORMATS

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        path = Path(data).expanduser()
        places = {ALL: path} if path.is_file() else _splits(path)
        tables = {split: read_table(place) for split, place in places.items()}
        named = {sound_column(table.header, table.rows, columns.text) for table in tables.values()}
        if None not in named:
            return _sounds(tables, columns, image_check, data)
        splits = {split: table_rows(table, columns) for split, table in tables.items()}
        return Found("text", splits, _columns_used(tables.values(), columns))


def _sounds(tables: Mapping[str, Table], columns: Columns, check: bool, where: str) -> Found:
    """Tables whose text is the path of a sound file."""
    asked = {
        split: replace(columns, text=sound_column(table.header, table.rows, columns.text))
        for split, table in tables.items()
    }
    listed = {split: table_rows(table, asked[split], "file name") for split, table in tables.items()}
    splits, facts = with_sounds(listed, {split: table.path.parent for split, table in tables.items()}, check, where)
    return Found(SOUNDS.content, splits, SOUNDS.notices(facts), facts)


def _columns_used(tables: Iterable[Table], columns: Columns) -> list[str]:
    """Which columns were taken, when the user did not say."""
    if columns.text and columns.label:
        return []
    lines = []
    for table in tables:
        text, label = text_and_label(table.header, columns.text, columns.label, str(table.path))
        lines.append(f"the text is column {table.header[text]!r} and the label column {table.header[label]!r}")
    if len(set(lines)) == 1:
        return lines[:1]
    return [f"in {table.path.name} {line}" for table, line in zip(tables, lines, strict=True)]


def tables_in(folder: Path) -> list[str]:
    """Names of the tables directly in `folder`."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in FORMATS and entry.is_file() and not is_system(entry.name)
    )


def has_training_table(folder: Path) -> bool:
    return any(split_of(name.partition(".")[0]) == "train" for name in tables_in(folder))


def _splits(folder: Path) -> dict[str, Path]:
    names = tables_in(folder)
    found = by_split(names, str(folder))
    if "train" not in found:
        listed = ", ".join(names[:5])
        raise DataError(
            f"{folder} holds tables ({listed}) and none is named train",
            f"did you mean {folder / names[0]}?" if len(names) == 1 else "name them train, validation and test",
        )
    others = [name for name in names if split_of(name.partition(".")[0]) is None]
    if others:
        raise DataError(f"{folder} has {others[0]} beside {found['train']}, and it is no split", "move it away")
    return {split: folder / name for split, name in found.items()}


def read_table(path: Path) -> Table:
    """Raises DataError: unreadable, not UTF-8 text, no rows, columns named twice, a row that does not fit."""
    content = content_of(path, "not a table")
    header, rows = FORMATS[path.suffix.lower()](content, path)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns called {twice[0]!r}", "rename one of them")
    if not rows:
        raise DataError(f"{path} has no rows", "add some, or give another file")
    return Table(path, header, rows)


def table_rows(table: Table, columns: Columns, holds: str = "text") -> list[Row]:
    """`holds` is what stands in the text column.

    Raises DataError: columns not found, and all rows without text, label or group, the first few by line.
    """
    text_at, label_at = text_and_label(table.header, columns.text, columns.label, str(table.path))
    group_at = position(table.header, columns.group, str(table.path))
    slice_at = position(table.header, columns.slice, str(table.path))
    rows, gaps = [], []
    for line, values in table.rows:
        text, label = values[text_at] or "", one_form((values[label_at] or "").strip())
        nested = any(isinstance(values[at], Nested) for at in (text_at, label_at))
        group = "" if group_at is None else (values[group_at] or "").strip()
        gap = "a list or an object where a text and a label belong" if nested else _gap(text, label, holds)
        if not gap and group_at is not None and not group:
            gap = f"no {columns.group}"
        if gap:
            gaps.append(f"line {line} has {gap}")
        else:
            part = "" if slice_at is None else (values[slice_at] or "").strip()
            rows.append(Row(f"{table.path.name}:{line}", text, label, sha256_text(text), group, slice=part))
    if gaps:
        more = f" and {len(gaps) - _NAMED} more rows" if len(gaps) > _NAMED else ""
        raise DataError(
            f"{table.path}: {', '.join(gaps[:_NAMED])}{more}", "fill in or remove these rows and run the command again"
        )
    return rows


def _gap(text: str, label: str, holds: str) -> str:
    if not text.strip():
        return f"no {holds}"
    try:
        (text + label).encode("utf-8")
    except UnicodeEncodeError:
        return "half of a character (a lone surrogate)"
    return "" if label else "no label"


READER = TableReader()
