"""Datasets of the Hugging Face Hub, and folders that the package `datasets` saved, read through that package."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.data.columns import Columns, find, label_position, position, text_and_label
from edgeft.data.found import ALL, Found, Row, by_split, one_form
from edgeft.data.images import Inspected, image_facts, image_notices, image_rows
from edgeft.data.saved import is_saved_dataset
from edgeft.data.table_formats import FORMATS
from edgeft.errors import DataError, MachineError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?")
_IMAGE_NAMES = ("image", "img", "picture", "photo")
# ClassLabel's number for "not labelled", which public test splits often hold.
_NO_LABEL = -1


class HubReader:
    takes = "the id of a Hub dataset (owner/name, or owner/name:configuration), or a folder saved by datasets"

    def can_read(self, data: str) -> bool:
        path = Path(data).expanduser()
        if path.exists():
            return path.is_dir() and is_saved_dataset(path)
        return bool(_ID.fullmatch(data)) and path.suffix.lower() not in FORMATS

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        tables = _load(data)
        found = Found("text", {})
        seen: list[Inspected] = []
        used = {ALL: ALL} if set(tables) == {ALL} else by_split(list(tables), data)
        for split, name in used.items():
            where = f"{data}, split {name}"
            rows, content, notices, inspected = _read_split(tables[name], split, where, columns, image_check)
            found.content = content
            found.notices += notices
            seen += inspected
            if rows:
                found.splits[split] = rows
        unused = sorted(set(tables) - set(used.values()))
        if unused:
            found.notices.append(f"splits of {data} that are not used: {', '.join(unused)}")
        found.facts = image_facts(seen)
        found.notices += image_notices(found.facts)
        return found


def _load(data: str) -> Mapping[str, Any]:
    """Split name -> datasets.Dataset."""
    path = Path(data).expanduser()
    try:
        import datasets
    except ImportError as error:
        what = f"{data} was saved by datasets" if path.exists() else f"{data} is no file or folder here"
        raise MachineError(
            f"{what}, and reading it as a dataset needs the module datasets, which is missing",
            "check the path, or: pip install datasets",
        ) from error
    try:
        if path.exists():
            loaded: Any = datasets.load_from_disk(str(path))
        else:
            name, _, configuration = data.partition(":")
            loaded = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # network, access, format: datasets raises many kinds
        raise DataError(f"{data} is no file or folder here, and as a dataset it cannot be loaded: {error}") from error
    return loaded if isinstance(loaded, Mapping) else {ALL: loaded}


def _read_split(
    table: Any, split: str, where: str, columns: Columns, image_check: bool
) -> tuple[list[Row], str, list[str], list[Inspected]]:
    """Rows, what they are ("image" or "text"), notices, and what was seen of images; no rows when the split has no
    labels at all."""
    image = None if columns.text else _image_column(table)
    header = list(table.column_names)
    if image is None:
        text_at, label_at = text_and_label(header, columns.text, columns.label, where)
    else:
        label_at = label_position(header, columns.label, where)
    group_at, slice_at = (position(header, column, where) for column in (columns.group, columns.slice))
    content = "text" if image is None else "image"
    labels = _labels(table, header[label_at])
    if all(label is None for label in labels):
        return [], content, [f"{where} has no labels and is left out"], []
    ids = [f"{split}:{number}" for number in range(len(labels))]
    given = [_given(label, id_, where) for label, id_ in zip(labels, ids, strict=True)]
    if image is not None:
        rows, seen = image_rows(ids, _image_files(table, image), given, image_check, where)
    else:
        texts = [_text(text, id_, where) for text, id_ in zip(table[header[text_at]], ids, strict=True)]
        rows, seen = [Row(*row, files.sha256_text(row[1])) for row in zip(ids, texts, given, strict=True)], []
    if group_at is not None:
        groups = zip(rows, table[header[group_at]], strict=True)
        rows = [replace(row, group=_group(group, row.id, where)) for row, group in groups]
    if slice_at is not None:
        parts = zip(rows, table[header[slice_at]], strict=True)
        rows = [replace(row, slice="" if part is None else str(part).strip()) for row, part in parts]
    return rows, content, [], seen


def _group(value: Any, id_: str, where: str) -> str:
    if value is None or not str(value).strip():
        raise DataError(f"{where}: the example {id_} has no group", "fill in the group of every example")
    return str(value).strip()


def _image_column(table: Any) -> str | None:
    import datasets

    images = [name for name in table.column_names if isinstance(table.features[name], datasets.Image)]
    at = find(images, _IMAGE_NAMES)
    return images[at or 0] if images else None


def _labels(table: Any, column: str) -> list[str | None]:
    """Label names; None where there is none."""
    names = getattr(table.features[column], "names", None)
    values = list(table[column])
    if names is not None:
        return [None if value in (None, _NO_LABEL) else one_form(names[value]) for value in values]
    return [None if value is None or not str(value).strip() else one_form(str(value).strip()) for value in values]


def _given(label: str | None, id_: str, where: str) -> str:
    if label is None:
        raise DataError(f"{where}: the example {id_} has no label", "leave such examples out and save the dataset")
    return label


def _text(text: Any, id_: str, where: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: the example {id_} has no text", "leave such examples out and save the dataset")
    return text


def _image_files(table: Any, column: str) -> list[Path]:
    """The encoded images as files, byte for byte, named by their content in the cache of datasets."""
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE) / "edgeft-images"
    encoded = table.cast_column(column, datasets.Image(decode=False))
    return [_file(row[column], folder) for row in encoded]


def _file(image: Mapping[str, Any], folder: Path) -> Path:
    if image.get("bytes") is None:
        return Path(str(image.get("path")))
    path = folder / f"{hashlib.sha256(image['bytes']).hexdigest()}{Path(image.get('path') or '').suffix.lower()}"
    if not path.is_file():
        files.write_bytes(path, image["bytes"])
    return path


READER = HubReader()
