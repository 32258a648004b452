"""splits.jsonl of a run: which example was in which split, so that a later step takes the same ones unsplit anew.

One line an example: {"split", "id", "label" (name), "label_id", "sha256", and "text" or "file"}, with "group" and
"slice" where examples have one; of sentences {"split", "id", "tags" (names), "tag_ids", "sha256", "tokens"}. Texts are
stored whole; the file is plain ASCII, since U+2028 in a text ends a line for some readers. Images and sounds
are named by their path inside the data folder (or whole, when they lie elsewhere, as Hub images do).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.data import content as contents
from edgeft.data.dataset import Dataset, Example
from edgeft.data.targets import target_json
from edgeft.errors import DataError, FolderError

_AGAIN = "run `edgeft tune` again"


def write_splits(path: Path, dataset: Dataset) -> None:
    """Write all splits of `dataset`; whole or not at all."""
    folder = folder_of(dataset.source)
    rows = (
        {"split": split, **_row(example, dataset.labels, folder)}
        for split, examples in dataset.splits.items()
        for example in examples
    )
    files.write_text(Path(path), "".join(json.dumps(row) + "\n" for row in rows))


def folder_of(source: str) -> Path:
    """The folder that files are named from: what was given, or where the table lies that was."""
    given = Path(source).expanduser()
    return given.parent if given.is_file() else given


def _row(example: Example, labels: tuple[str, ...], folder: Path) -> dict[str, Any]:
    ids = {"label_id": example.label} if isinstance(example.label, int) else {"tag_ids": list(example.label)}
    row: dict[str, Any] = {"id": example.id, **target_json(example.label, labels), **ids}
    if example.group:
        row["group"] = example.group
    if example.slice:
        row["slice"] = example.slice
    if not isinstance(example.content, Path):
        return {**row, "sha256": contents.digest(example.content), **contents.as_json(example.content)}
    sha256 = example.sha256 or files.sha256_file(example.content)
    inside = os.path.relpath(example.content, folder)
    name = inside if not inside.startswith("..") else str(example.content.resolve())
    return {**row, "sha256": sha256, "file": name.replace(os.sep, "/")}


def read_split(path: Path, split: str, data_folder: str | Path) -> list[Example]:
    """The examples of `split`, each checked against the hash it was trained or scored with.

    data_folder   where the images are now: what was given to tune, or the folder it was moved to

    Raises FolderError when the record is missing, damaged or has no such split, DataError naming the first file
    that is missing or has changed since.
    """
    rows = [row for row in _rows(Path(path)) if row["split"] == split]
    if not rows:
        raise FolderError(f"{path} has no examples of the {split} split", _AGAIN)
    return [_example(row, Path(data_folder).expanduser(), Path(path)) for row in rows]


_KINDS = ({"label_id", "text"}, {"label_id", "file"}, {"tag_ids", "tokens"})


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise FolderError(f"{path} is missing", _AGAIN)
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                complete = {"split", "id", "sha256"} <= row.keys() and any(each <= row.keys() for each in _KINDS)
            except (ValueError, AttributeError) as error:
                raise FolderError(f"{path} line {number} was edited or cut off", _AGAIN) from error
            if not complete:
                raise FolderError(f"{path} line {number} was edited or cut off", _AGAIN)
            yield row


def _example(row: dict[str, Any], folder: Path, record: Path) -> Example:
    if "file" not in row:
        content = contents.from_json(row)
        if contents.digest(content) != row["sha256"]:
            raise FolderError(f"{record}: the text of {row['id']} was changed", _AGAIN)
        label = row["label_id"] if "label_id" in row else tuple(row["tag_ids"])
        return Example(row["id"], content, label, row["sha256"], slice=row.get("slice", ""))
    file = folder / row["file"]
    if not file.is_file():
        raise DataError(f"{file} is missing, and the run was made with it", "put the data back where it was")
    if files.sha256_file(file) != row["sha256"]:
        raise DataError(f"{file} has changed since the run was made", "put the old file back, or tune again")
    return Example(row["id"], file, row["label_id"], row["sha256"], slice=row.get("slice", ""))
