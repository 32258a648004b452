"""Which column of a table is the text and which the label: named by the user, or found by the usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeft.errors import DataError, did_you_mean

LABEL_NAMES = ("label", "labels", "class", "category", "intent", "target", "sentiment", "y")
TEXT_NAMES = ("text", "sentence", "utterance", "question", "content", "review", "query", "document", "message", "title")
# Of tables that name files.
FILE_NAMES = (
    "file_name", "filename", "file", "path", "image", "image_path", "img", "audio", "audio_path", "sound", "clip",
    "wav",
)  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns a user named; None: to be found by their usual names, and no groups or slices."""

    text: str | None = None
    label: str | None = None
    group: str | None = None
    slice: str | None = None


def find(header: Sequence[str], usual: Sequence[str]) -> int | None:
    """Position of the first usual name that is a column, whatever its capitals; None without one."""
    lower = [name.strip().lower() for name in header]
    return next((lower.index(name) for name in usual if name in lower), None)


def text_and_label(
    header: Sequence[str], text_column: str | None, label_column: str | None, where: str
) -> tuple[int, int]:
    """Positions of both columns. In a table of two, the one that is not the label is the text.

    Raises DataError naming the columns there are, and the option that chooses one.
    """
    label = label_position(header, label_column, where)
    text = _named(header, text_column, where) if text_column else find(header, TEXT_NAMES)
    if text is None and len(header) == 2:
        text = 1 - label
    if text is None:
        raise _missing(header, "text", where)
    if text == label:
        raise DataError(f"{where}: the column {header[text]!r} cannot be both text and label", "name two columns")
    return text, label


def position(header: Sequence[str], column: str | None, where: str) -> int | None:
    """Raises DataError when the column is not there; None when nobody named one."""
    return None if column is None else _named(header, column, where)


def label_position(header: Sequence[str], label_column: str | None, where: str) -> int:
    """Raises DataError as `text_and_label` does."""
    label = _named(header, label_column, where) if label_column else find(header, LABEL_NAMES)
    if label is None:
        raise _missing(header, "label", where)
    return label


def _named(header: Sequence[str], name: str, where: str) -> int:
    if name not in header:
        raise DataError(f"{where} has no column {name!r}; it has {_list(header)}", did_you_mean(name, header))
    return header.index(name)


def _missing(header: Sequence[str], role: str, where: str) -> DataError:
    what = f"{where} has no column with a usual name for the {role}; its first line names {_list(header)}"
    if len(header) == 1 and any(separator in header[0] for separator in ",;\t"):
        return DataError(what, "its columns are parted otherwise than its suffix says: .csv by comma, .tsv by tab")
    return DataError(what, f"say which one with --{role}-column NAME; the first line must hold the column names")


def _list(header: Sequence[str]) -> str:
    names = ", ".join(repr(name) for name in header[:12])
    return names + (f" and {len(header) - 12} more" if len(header) > 12 else "")
