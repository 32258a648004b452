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

from edgeft import files
from edgeft.data.dataset import Dataset, Example
from edgeft.errors import DataError, FolderError

SCHEMA = "edgeft-run/1"
STATE_SCHEMA = "edgeft-run-state/1"
DOCUMENT = "tuned.json"
SPLITS = "splits.jsonl"
STATE = "state.json"


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

    def examples(self, split: str) -> tuple[Example, ...]:
        """The examples of "train", "validation" or "test", as they were when the model was tuned.

        Raises FolderError when splits.jsonl is not the one this run was tuned on, DataError when a file of the
        data is gone or has other content now.
        """
        recorded = self.document["data"].get("splits_sha256")
        return read_split(self.path, split, self.labels, Path(self.dataset["folder"]), recorded)


def write_splits(folder: Path, dataset: Dataset, data_folder: Path) -> str:
    """Write splits.jsonl and return its SHA-256. Text is stored; an image by its path and the hash of its bytes."""
    lines = [
        json.dumps(_split_line(split, example, dataset.labels, data_folder), ensure_ascii=False)
        for split, examples in dataset.splits.items()
        for example in examples
    ]
    text = "\n".join(lines) + "\n"
    files.write_text(folder / SPLITS, text)
    return files.sha256_text(text)


def _split_line(split: str, example: Example, labels: tuple[str, ...], data_folder: Path) -> dict[str, Any]:
    line: dict[str, Any] = {"split": split, "id": example.id, "label": labels[example.label]}
    if isinstance(example.content, str):
        return {**line, "text": example.content}
    place = Path(example.content).absolute()
    inside = place.is_relative_to(data_folder)
    return {
        **line,
        "file": place.relative_to(data_folder).as_posix() if inside else str(place),
        "sha256": files.sha256_file(place),
    }


def read_split(
    folder: Path, split: str, labels: tuple[str, ...], data_folder: Path, sha256: str | None
) -> tuple[Example, ...]:
    """The examples of one split, in the order they were written; see `Run.examples`."""
    place = folder / SPLITS
    if not place.is_file():
        raise FolderError(f"{place} is missing", "run edgeft tune again")
    text = place.read_bytes().decode("utf-8")
    if sha256 is not None and files.sha256_text(text) != sha256:
        raise FolderError(f"{place} was changed since the run ended", "run edgeft tune again")
    # split("\n"), not splitlines(): texts may hold characters that count as line ends, such as U+2028
    lines = [json.loads(line) for line in text.split("\n") if line]
    index = {name: number for number, name in enumerate(labels)}
    return tuple(
        Example(line["id"], _content(line, data_folder), index[line["label"]])
        for line in lines
        if line["split"] == split
    )


def _content(line: Mapping[str, Any], data_folder: Path) -> Path | str:
    if "text" in line:
        return str(line["text"])
    place = data_folder / line["file"]
    if not place.is_file():
        raise DataError(f"{place} is gone, and the run was tuned with it", "put the data back where it was")
    if files.sha256_file(place) != line["sha256"]:
        raise DataError(f"{place} has changed since the run was tuned", "put the data back as it was, or tune again")
    return place


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
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise FolderError(f"{folder} is a file", "choose another --output")
        held = [name for name in (DOCUMENT, STATE) if (folder / name).exists()]
        if held and not resume:
            raise FolderError(f"{folder} already holds a run", "add --resume to go on with it, or choose another --output")
        if (folder / STATE).exists():
            document = files.read_json(folder / STATE, STATE_SCHEMA, "choose another --output")
            _same_settings(folder, document["settings"], settings)
            return RunState(folder, settings, document["phases"])
        state = RunState(folder, settings)
        state._write()
        return state

    def done(self, phase: str) -> dict[str, Any] | None:
        """The record of a finished phase, or None."""
        record = self._phases.get(phase)
        return None if record is None else dict(record)

    def finish(self, phase: str, record: Mapping[str, Any]) -> dict[str, Any]:
        self._phases[phase] = dict(record)
        self._write()
        return dict(record)

    def _write(self) -> None:
        document = {"schema": STATE_SCHEMA, "settings": self.settings, "phases": self._phases}
        files.write_json(self.folder / STATE, document)


def _same_settings(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(now))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise FolderError(
            f"the run in {folder} was begun with {key.replace('_', '-')} = {before.get(key)!r}, not {now.get(key)!r}",
            "repeat the command with the options it was begun with, or choose another --output",
        )
