"""Read whatever the user gave: one line in READERS and one file for each kind."""

from __future__ import annotations

from pathlib import Path

from edgeft.data.assemble import assemble
from edgeft.data.columns import Columns
from edgeft.data.dataset import Dataset
from edgeft.data.found import Reader
from edgeft.errors import DataError, did_you_mean
from edgeft.registry import Registry

READERS = Registry(
    "data reader",
    {
        "image-folder": "edgeft.data.folders:IMAGE_READER",
        "audio-folder": "edgeft.data.folders:SOUND_READER",
        "table": "edgeft.data.tables:READER",
        "tagged-sentences": "edgeft.data.tagged:READER",
        "hub": "edgeft.data.hub:READER",
    },
)


def read_dataset(
    data: str,
    *,
    seed: int,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    slice_column: str | None = None,
    image_check: bool = True,
) -> Dataset:
    """The examples of `data` with labels, in three splits that are never empty.

    data          folder of class folders, table (CSV, TSV, JSONL, Parquet; of texts or of sound files) or folder of
                  them, tagged sentences (CoNLL, JSONL), or id of a Hub dataset
    seed          of the splits that have to be made
    text_column, label_column   columns of a table; found by their usual names when None
    group_column  column of a table (or of one beside the images) whose equal values stay in one split
    slice_column  column of such a table for whose values figures are given apart
    image_check   decode every image or sound whole and refuse the lot when one is bad

    Raises DataError for everything that is wrong with the data.
    """
    reader = _reader(data)
    found = reader.read(data, Columns(text_column, label_column, group_column, slice_column), image_check)
    return assemble(found, data, seed)


def _reader(data: str) -> Reader:
    readers: dict[str, Reader] = {name: READERS.load(name) for name in READERS.names()}
    able = {name: reader for name, reader in readers.items() if reader.can_read(data)}
    if len(able) == 1:
        return next(iter(able.values()))
    kinds = "; ".join(reader.takes for reader in readers.values())
    if able:
        raise DataError(
            f"{data} can be read as {' and as '.join(sorted(able))}", "give the one file or folder that holds the data"
        )
    path = Path(data).expanduser()
    if path.exists():
        raise DataError(f"{data} is nothing edgeft reads", f"give one of: {kinds}")
    raise DataError(f"{data} does not exist", _near(path) or f"give one of: {kinds}")


def _near(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError:
        return ""
    suggestion = did_you_mean(path.name, names)
    return suggestion if suggestion.startswith("did you mean") else ""
