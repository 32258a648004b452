"""The held-out examples of a bundle: raw, byte for byte, each with its hash.

eval/examples.jsonl   one line an example: {"id", "label" (name) | "tags" (names), "file" | "text" | "tokens",
                      "sha256"}, with "slice" where the examples have one
eval/00000.jpg ...    images or sounds, copied unchanged

The list is plain ASCII (other letters as \\u escapes): U+2028 and its like in a text would end a line for some readers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.data import content as contents
from edgeft.data.dataset import Example
from edgeft.data.targets import UnknownLabel, target_from, target_json
from edgeft.data.words import Words
from edgeft.errors import DataError, FolderError

FOLDER = "eval"
LIST = "eval/examples.jsonl"
_AGAIN = "copy the bundle again, or export it again"


def write_examples(folder: Path, examples: Sequence[Example], labels: Sequence[str]) -> dict[str, Any]:
    """Write `folder`/eval. Returns {"file", "n", "sha256"} of the list, for the manifest.

    The hash of the list covers the hash of every example in it. Raises DataError when a file has gone.
    """
    (Path(folder) / FOLDER).mkdir(parents=True, exist_ok=True)
    lines = [_write_one(Path(folder), number, example, labels) for number, example in enumerate(examples)]
    files.write_text(Path(folder) / LIST, "".join(json.dumps(line) + "\n" for line in lines))
    return {"file": LIST, "n": len(lines), "sha256": files.sha256_file(Path(folder) / LIST)}


def _write_one(folder: Path, number: int, example: Example, labels: Sequence[str]) -> dict[str, Any]:
    line = {"id": example.id, **target_json(example.label, labels)}
    if example.slice:
        line["slice"] = example.slice
    if not isinstance(example.content, Path):
        return {**line, **contents.as_json(example.content), "sha256": contents.digest(example.content)}
    suffix = example.content.suffix.lower()
    name = f"{number:05d}{suffix if re.fullmatch(r'[.][a-z0-9]+', suffix) else ''}"
    try:
        content = example.content.read_bytes()
    except OSError as error:
        raise DataError(
            f"the held-out file {example.content} cannot be read ({error.strerror})", "put the data back"
        ) from error
    # No flush to disk for each image: the folder they are written into takes its place as a whole.
    with files.disk_errors(folder / FOLDER / name):
        (folder / FOLDER / name).write_bytes(content)
    return {**line, "file": f"{FOLDER}/{name}", "sha256": hashlib.sha256(content).hexdigest()}


def read_examples(folder: Path, labels: Sequence[str]) -> list[Example]:
    """The examples of a bundle, every hash checked; images as paths inside `folder`.

    Raises FolderError naming the example that is missing, changed, or outside the folder.
    """
    path = Path(folder) / LIST
    if not path.is_file():
        raise FolderError(f"{path} is missing", _AGAIN)
    ids = {name: index for index, name in enumerate(labels)}
    with open(path, encoding="utf-8") as lines:
        return [_read_one(Path(folder), f"{path} line {number}", line, ids) for number, line in enumerate(lines, 1)]


def _read_one(folder: Path, where: str, text: str, ids: Mapping[str, int]) -> Example:
    try:
        line = json.loads(text)
        name, sha256 = line["id"], line["sha256"]
        inline = any(key in line for key in contents.KEYS)
        content: Path | str | Words = contents.from_json(line) if inline else folder / _inside(line["file"], where)
        label = target_from(line, ids)
    except UnknownLabel as error:
        raise FolderError(f"{where} has the label {str(error)!r}, which is none of the model's", _AGAIN) from error
    except (ValueError, KeyError, TypeError) as error:
        raise FolderError(f"{where} is not an example: it was edited or cut off", _AGAIN) from error
    if isinstance(content, Path) and not content.is_file():
        raise FolderError(f"{content} is missing ({where})", _AGAIN)
    found = contents.digest(content)
    if found != sha256:
        raise FolderError(f"{where}: {line.get('file', 'the text')} is not what was exported: it was changed", _AGAIN)
    return Example(name, content, label, found, slice=str(line.get("slice", "")))


def _inside(name: str, where: str) -> Path:
    """A plain file in the folder of examples; anything else could name a file of the machine."""
    if not re.fullmatch(rf"{FOLDER}/[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise FolderError(f"{where} names the file {name!r}, which is not inside {FOLDER}/", _AGAIN)
    return Path(name)
