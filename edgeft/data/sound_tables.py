"""Tables whose text is the path of a sound file: how they are told from tables of texts, and their rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeft.data.columns import FILE_NAMES, find
from edgeft.data.found import Row, one_form
from edgeft.data.media import SOUNDS
from edgeft.data.table_formats import Values


def sound_column(header: Sequence[str], rows: Sequence[tuple[int, Values]], given: str | None) -> str | None:
    """The column that names sound files: `given` (--text-column), or the first with a usual name; None where its first
    value is no name of a sound file."""
    at = find(header, FILE_NAMES) if given is None else (header.index(given) if given in header else None)
    if at is None:
        return None
    first = next((values[at] for _, values in rows if values[at]), None)
    return header[at] if first and SOUNDS.names(first) else None


def with_sounds(
    splits: Mapping[str, Sequence[Row]], folders: Mapping[str, Path], decode: bool, where: str
) -> tuple[dict[str, list[Row]], dict[str, Any]]:
    """Rows whose content is a path (whole, or from the folder of the table) -> the same with the files, named by these
    paths; and the figures of edgeft.data.sounds. Raises one DataError for all files that cannot be read."""
    rows = [row for split in splits.values() for row in split]
    paths = [folders[split] / os.path.expanduser(str(row.content)) for split in splits for row in splits[split]]
    ids = [one_form(str(row.content)).replace(os.sep, "/") for row in rows]
    found, facts = SOUNDS.rows(ids, paths, [row.label for row in rows], decode, where)
    whole = iter([replace(new, group=old.group, slice=old.slice) for new, old in zip(found, rows, strict=True)])
    return {split: [next(whole) for _ in splits[split]] for split in splits}, facts
