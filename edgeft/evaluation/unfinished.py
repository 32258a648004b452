"""Finished passes of an evaluation that is not finished yet: OUTPUT.unfinished/, which `--resume` goes on from.

    state.json      schema edgeft-unfinished/1: when it began, and the key: what has to be equal to go on
    PASS.npz        one a finished pass: its arrays, and "document", a JSON text
    PASS-000.npz    one a finished round of a pass that is not finished; they go when it is

A file is written whole or not at all; the folder goes when the result stands.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import console, files
from edgeft.errors import FolderError

SCHEMA = "edgeft-unfinished/1"
_STATE = "state.json"
_DOCUMENT = "document"
Arrays = Mapping[str, NDArray[Any]]


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.unfinished")


class Unfinished:
    """What was finished earlier, and where what finishes now is kept.

    taken   names of the passes that were taken from the earlier sitting
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> None:
        self.folder, self._key = folder, dict(key)
        self._begun = state is not None
        self.begun_utc: str = (state or {}).get("begun_utc") or datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.taken: list[str] = []

    @staticmethod
    def begin(output: Path, key: Mapping[str, Any], resume: bool) -> Unfinished:
        """Go on from what is there when `resume` is set and `key` is the same; else say why not, and begin anew."""
        folder = folder_of(output)
        if not folder.is_dir():
            if resume:
                console.say(f"nothing unfinished in {folder}: measuring from the beginning")
            return Unfinished(folder, key)
        if not resume:
            console.warn(f"{folder} is replaced; --resume would have gone on from it")
            return Unfinished(folder, key)
        try:
            state = files.read_json(folder / _STATE, SCHEMA, "")
        except FolderError as error:
            console.warn(f"{error.what}: measuring from the beginning")
            return Unfinished(folder, key)
        other = differing(state["key"], key)
        if other:
            console.warn(f"{folder} was measured with other settings ({other}): measuring from the beginning")
            return Unfinished(folder, key)
        return Unfinished(folder, key, state)

    def take(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """(document, arrays) of a finished pass, or None. A file that cannot be read counts as not finished."""
        found = self.read(name)
        if found is not None:
            self.took(name)
        return found

    def take_rounds(self, name: str) -> list[tuple[dict[str, Any], dict[str, NDArray[Any]]]]:
        """(document, arrays) of the finished rounds of a pass, from the first on; empty when there are none."""
        found: list[tuple[dict[str, Any], dict[str, NDArray[Any]]]] = []
        while (one := self.read(_round(name, len(found)))) is not None:
            found.append(one)
        if found:
            self.took(f"{name}, {len(found)} {'round' if len(found) == 1 else 'rounds'}")
        return found

    def took(self, what: str) -> None:
        """Say and remember that `what` is not measured again."""
        self.taken.append(what)
        console.say(f"taken from the interrupted evaluation: {what}")

    def has(self, name: str) -> bool:
        """Whether `name` was kept; that it can be read shows when it is."""
        return self._begun and (self.folder / f"{name}.npz").is_file()

    def read(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """(document, arrays) of what was kept as `name`, or None."""
        place = self.folder / f"{name}.npz"
        if not self.has(name):
            return None
        try:
            with np.load(place, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
            return json.loads(str(arrays.pop(_DOCUMENT))), arrays
        except Exception as error:  # zipfile, zlib, numpy and json each have errors of their own for a damaged file
            console.warn(f"{place} cannot be read ({error}): this is measured again")
            return None

    def keep(self, name: str, document: Mapping[str, Any], arrays: Arrays | None = None) -> None:
        if not self._begun:
            shutil.rmtree(self.folder, ignore_errors=True)
            state = {"schema": SCHEMA, "begun_utc": self.begun_utc, "key": self._key}
            files.write_json(self.folder / _STATE, state)
            self._begun = True
        stream = io.BytesIO()
        np.savez(stream, **{_DOCUMENT: np.array(json.dumps(document))}, **(arrays or {}))  # type: ignore[arg-type]
        files.write_bytes(self.folder / f"{name}.npz", stream.getvalue())
        for left in self.folder.glob(f"{name}-[0-9][0-9][0-9].npz"):
            left.unlink(missing_ok=True)

    def keep_round(self, name: str, number: int, document: Mapping[str, Any], arrays: Arrays) -> None:
        """One round of a pass, counted from 0."""
        self.keep(_round(name, number), document, arrays)

    def record(self) -> dict[str, Any]:
        """What result.json says of it; empty when nothing was taken."""
        return {"resumed": {"begun_utc": self.begun_utc, "passes": self.taken}} if self.taken else {}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _round(name: str, number: int) -> str:
    return f"{name}-{number:03d}"


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first entry that differs, in words; empty when all are equal."""
    plain = json.loads(json.dumps(now))
    for name in sorted({*before, *plain}):
        if before.get(name) != plain.get(name):
            return f"{name} was {before.get(name)}, now {plain.get(name)}"
    return ""
