"""The folder one `edgeft tune` writes: read it, and keep track of what is complete while it is being written.

    RUN/tuned.json     schema edgeft-run/1, written last: a folder without it is unfinished
    RUN/splits.jsonl   which example is in which split, so that later steps never split again
    RUN/state.json     what an interrupted run has already finished; `--resume` goes on from there
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft import files, ranks
from edgeft.data.dataset import Example
from edgeft.data.splits_record import read_split
from edgeft.errors import FolderError
from edgeft.options import spelled

SCHEMA = "edgeft-run/1"
STATE_SCHEMA = "edgeft-run-state/1"
DOCUMENT = "tuned.json"
SPLITS = "splits.jsonl"
STATE = "state.json"
# Folders of a run without which its figures still stand.
WEIGHTS = ("original", "float", "quantized", "checkpoints")


class Run:
    """A finished run: the document `tuned.json` and the files beside it.

    path        the folder
    document    tuned.json as read
    """

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.document = document

    @staticmethod
    def open(path: str | Path) -> Run:
        """Read a run. Raises FolderError when the folder is missing, unfinished, altered or too new."""
        path = Path(path)
        again = "run edgeft tune to make one"
        if not path.is_dir():
            raise FolderError(f"there is no run folder {path}", again)
        if not (path / DOCUMENT).exists() and (path / STATE).exists():
            raise FolderError(f"the run in {path} is not finished", "repeat its edgeft tune command with --resume")
        document = files.read_json(path / DOCUMENT, SCHEMA, again)
        needed = ("task", "metric", "labels", "preprocessing", "data", "model", "scores", "scheme")
        absent = [key for key in needed if key not in document]
        if absent or document.get("state") != "complete":
            raise FolderError(f"{path / DOCUMENT} lacks {', '.join(absent) or 'the mark of a complete run'}", again)
        return Run(path, document)

    @property
    def task(self) -> str:
        return str(self.document["task"])

    @property
    def metric(self) -> str:
        return str(self.document["metric"])

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.document["labels"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        return dict(self.document["preprocessing"])

    @property
    def scheme_name(self) -> str:
        """Name of the scheme it was tuned for; "none" after plain fine-tuning."""
        return str(self.document["scheme"])

    @property
    def profile_name(self) -> str | None:
        name = self.document.get("profile")
        return None if name is None else str(name)

    @property
    def dataset(self) -> dict[str, Any]:
        """The record of the data: source, folder, fingerprint, split_rule, counts, notices."""
        return dict(self.document["data"])

    def scores_of(self, state: str) -> dict[str, Any]:
        """{"validation": {metric, value, n}, "test": {…}} of the "original", "float", "ptq" or "quantized" model."""
        return dict(self.document["scores"][state])

    @property
    def original(self) -> Path:
        return self.path / "original"

    @property
    def float_model(self) -> Path:
        return self.path / "float"

    @property
    def quantized(self) -> Path:
        return self.path / "quantized"

    @property
    def original_answers_task(self) -> bool:
        return bool(self.document["model"]["original_answers_task"])

    @property
    def splits(self) -> Path:
        return self.path / SPLITS

    def vouch_for(self, folder: Path) -> None:
        """Raises FolderError when weights below `folder` are not those the run ended with."""
        for name, sha256 in self.document.get("weights", {}).items():
            place = self.path / name
            if folder in place.parents and (not place.is_file() or files.sha256_file(place) != sha256):
                raise FolderError(f"{place} is missing or was changed since the run ended", "run edgeft tune again")

    def examples(self, split: str) -> tuple[Example, ...]:
        """The examples of "train", "validation" or "test", as they were when the model was tuned.

        Raises FolderError when splits.jsonl is not the one this run was tuned on, DataError when a file of the
        data is gone or has other content now.
        """
        if not self.splits.is_file() or files.sha256_file(self.splits) != self.document["data"]["splits_sha256"]:
            raise FolderError(f"{self.splits} is missing or was changed since the run ended", "run edgeft tune again")
        return tuple(read_split(self.splits, split, self.dataset["folder"]))


class RunState:
    """What a run in progress has finished: phase name -> its record. Written after the phase's own files."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], phases: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self._phases = dict(phases or {})

    @staticmethod
    def begin(folder: Path, settings: Mapping[str, Any], resume: bool) -> RunState:
        """A fresh state, or with `resume` the one found in `folder`.

        `settings` are plain JSON values, among them the fingerprint of the data. Raises FolderError when the folder
        holds a run already and `resume` is false, or when that run was begun with other settings.
        """
        state = RunState.look(folder, settings, resume)
        if not state._phases:
            state._write()
        return state

    @staticmethod
    def look(folder: Path, settings: Mapping[str, Any], resume: bool) -> RunState:
        """What `begin` would begin with, or raise; nothing is written."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise FolderError(f"{folder} is a file", "choose another --output")
        document = _begun(folder)
        if not resume and (document is not None or (folder / DOCUMENT).exists()):
            raise FolderError(f"{folder} already holds a run", "add --resume to go on, or choose another --output")
        if document is None:
            return RunState(folder, settings)
        _same_settings(folder, document["settings"], settings)
        return RunState(folder, settings, document["phases"])

    def done(self, phase: str) -> dict[str, Any] | None:
        """The record of a finished phase, or None."""
        record = self._phases.get(phase)
        return None if record is None else dict(record)

    def finish(self, phase: str, record: Mapping[str, Any]) -> dict[str, Any]:
        self._phases[phase] = dict(record)
        self._write()
        return dict(record)

    def forget(self) -> None:
        """Take back what was finished: an option turned out wrong, and the corrected command may use the folder."""
        self._phases = {}
        self._write()

    def _write(self) -> None:
        if not ranks.first():
            return
        document = {"schema": STATE_SCHEMA, "settings": self.settings, "phases": self._phases}
        files.write_json(self.folder / STATE, document)


def _begun(folder: Path) -> dict[str, Any] | None:
    """The state in `folder`; None when no run was begun there, or one that stopped before anything was done (a model
    that is not there), so that the corrected command may use the same folder."""
    if not (folder / STATE).exists():
        held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        others = [name for name in held if not name.startswith(".")]
        if others and DOCUMENT not in held:
            raise FolderError(f"{folder} is not empty and is no run (it holds {others[0]})", "choose another --output")
        return None
    document = files.read_json(folder / STATE, STATE_SCHEMA, "choose another --output")
    return document if document["phases"] else None


def _same_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(now))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise FolderError(
            f"the run in {folder} was begun with {spelled(key)} = {before.get(key)!r}, not {now.get(key)!r}",
            "repeat the command with the options it was begun with, or choose another --output",
        )
