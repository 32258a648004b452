"""A table beside images or sounds that names files and labels must say what the folders say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgeft.data.columns import FILE_NAMES, LABEL_NAMES, find
from edgeft.data.found import Row, one_form
from edgeft.data.tables import Table, read_table, tables_in
from edgeft.errors import DataError


def refuse_conflicts(root: Path, places: Sequence[Path], rows: Sequence[Row], many: str = "images") -> list[str]:
    """Compare every table in `root` and `places` that has a file and a label column with the folders' labels.

    Returns notices. Raises DataError naming the first file that is called one thing by its folder and another by the
    table: taking either silently would train on labels the user does not expect.
    """
    labels = {os.path.normpath(str(row.content)): row.label for row in rows}
    notices = []
    for folder in dict.fromkeys((root, *places)):
        for name in tables_in(folder):
            notices += _compare(folder / name, labels, many)
    return notices


def _compare(path: Path, labels: Mapping[str, str], many: str) -> list[str]:
    try:
        table = read_table(path)
    except DataError as error:
        return [f"{path} lies beside the {many} and is not used: {error.what}"]
    columns = find(table.header, FILE_NAMES), find(table.header, LABEL_NAMES)
    if columns[0] is None or columns[1] is None:
        return [f"{path} lies beside the {many} and is not used: labels are the folders' names"]
    conflicts = _conflicts(table, columns[0], columns[1], path.parent, labels)
    if conflicts:
        more = f" ({len(conflicts)} files differ)" if len(conflicts) > 1 else ""
        raise DataError(f"{conflicts[0]}{more}", f"move the file to the right folder, or correct or remove {path.name}")
    return [f"{path} gives the same labels as the folders, which are used"]


def _conflicts(table: Table, file_column: int, label_column: int, folder: Path, labels: Mapping[str, str]) -> list[str]:
    found = []
    for line, values in table.rows:
        name, said = values[file_column], one_form((values[label_column] or "").strip())
        label = labels.get(os.path.normpath(folder / name)) if name else None
        if label is not None and said and said != label:
            found.append(f"{table.path} line {line} gives {name} the label {said!r}, and its folder says {label!r}")
    return found


def with_groups(root: Path, places: Sequence[Path], rows: Sequence[Row], column: str, many: str) -> list[Row]:
    """The rows with the groups that `column` of the tables beside the files gives them.

    Raises DataError when no table has the column and one with file names, or a file is in none.
    """
    groups = _beside(root, places, column, many)
    lost = [row for row in rows if not groups.get(os.path.normpath(str(row.content)))]
    if lost:
        raise DataError(
            f"the tables beside the {many} give {lost[0].id} no {column}",
            f"fill it in for every {many.removesuffix('s')}",
        )
    return [replace(row, group=groups[os.path.normpath(str(row.content))]) for row in rows]


def with_slices(root: Path, places: Sequence[Path], rows: Sequence[Row], column: str, many: str) -> list[Row]:
    """The rows with the slices that `column` of the tables beside the files gives them; "" where they give none.

    Raises DataError when no table has the column and one with file names.
    """
    slices = _beside(root, places, column, many)
    return [replace(row, slice=slices.get(os.path.normpath(str(row.content)), "")) for row in rows]


def _beside(root: Path, places: Sequence[Path], column: str, many: str) -> dict[str, str]:
    """Path of a file -> what `column` of a table beside the files says of it."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys((root, *places)):
        for name in tables_in(folder):
            found |= _values(read_table(folder / name), folder, column)
    if not found:
        raise DataError(
            f"no table beside the {many} of {root} has the columns file_name and {column}",
            "add one, such as metadata.csv with file_name,label and that column",
        )
    return found


def _values(table: Table, folder: Path, column: str) -> dict[str, str]:
    """Path of a file -> its value."""
    at = find(table.header, FILE_NAMES)
    if at is None or column not in table.header:
        return {}
    where = table.header.index(column)
    return {
        os.path.normpath(folder / name): (values[where] or "").strip()
        for _, values in table.rows if (name := values[at])
    }  # fmt: skip
