"""What a reader finds, before labels get numbers and missing splits are made; and what a reader must offer."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeft.data.columns import Columns
from edgeft.data.words import Words
from edgeft.errors import DataError

SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Key of the rows of data that come without splits.
ALL = "all"
# Folders that archivers and network drives leave beside the user's own.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir"})
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Row:
    """One example as found: `label` is a label's name or a tag for each word, `sha256` of the file's bytes, of the
    UTF-8 text or of the words.

    group   what --group-column says of it
    slice   what --slice-column says of it; "" when nothing
    look    of a decoded image: its edgeft.data.alike.image_key
    """

    id: str
    content: Path | str | Words
    label: Any
    sha256: str
    group: str = ""
    look: str = ""
    slice: str = ""


@dataclass
class Found:
    """Rows by split name ("train", "validation", "test", or ALL when there are no splits).

    notices, facts   what the reader noticed, in lines for a person and in figures for the record
    target           what stands in `label` of its rows, see edgeft.data.targets
    """

    content: str
    splits: dict[str, list[Row]]
    notices: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    target: str = "label"


class Reader(Protocol):
    """One kind of place examples come from: one file in edgeft.data and one line in READERS.

    takes   what it reads, in the words of an error message
    """

    takes: str

    def can_read(self, data: str) -> bool:
        """Whether `data` (what the user typed) is of this kind. No two readers may say yes to one thing."""
        ...

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        """Everything in it, in an order that does not depend on how the system lists files."""
        ...


def split_of(name: str) -> str | None:
    """ "Val" -> "validation"; None when the name is no split's."""
    return _SPLIT_NAMES.get(name.strip().lower())


def is_system(name: str) -> bool:
    """Hidden files and folders (a dot first) and what operating systems leave behind."""
    return name.startswith(".") or name in _SYSTEM_FOLDERS or name.lower() in _SYSTEM_FILES


def one_form(text: str) -> str:
    """Unicode form NFC: macOS stores an accented letter as two code points, Linux as it was typed."""
    return unicodedata.normalize("NFC", text)


def by_split(names: list[str], where: str) -> dict[str, str]:
    """Split -> the name that stands for it. Raises DataError when two names mean one split."""
    found: dict[str, str] = {}
    for name in sorted(names):
        split = split_of(name.partition(".")[0])
        if split is None:
            continue
        if split in found:
            raise DataError(
                f"{where} has both {found[split]!r} and {name!r}, which both mean the {split} split", "remove one"
            )
        found[split] = name
    return found
