"""One run in progress: what all its acts share, and what they have finished."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgeft import ranks
from edgeft.data.dataset import Dataset, Example
from edgeft.data.splits_record import folder_of
from edgeft.errors import MachineError
from edgeft.runfolder import DOCUMENT, STATE, RunState
from edgeft.tasks.task import Task
from edgeft.tuning import processes

TOKENIZER = "tokenizer.json"
# These may differ between the first call and the one that goes on: they do not change what is computed.
_FREE = ("output", "resume", "dry_run", "workers", "image_cache", "report_to", "device", "repeats")


@dataclass
class Job:
    """Shared by the acts of one run; `wall_s` holds seconds by phase, of this call.

    splits   what the model is asked, by split: the examples of `dataset` once it is known how they are encoded
    """

    folder: Path
    settings: Mapping[str, Any]
    state: RunState
    task: Task
    dataset: Dataset
    device: torch.device
    seed: int
    wall_s: dict[str, float] = field(default_factory=dict)
    splits: dict[str, Sequence[Example]] = field(default_factory=dict)

    @staticmethod
    def begin(
        folder: Path,
        settings: Mapping[str, Any],
        resume: bool,
        task: Task,
        dataset: Dataset,
        device: torch.device,
        seed: int,
    ) -> Job:
        state = processes.once(lambda: RunState.begin(folder, _fixed(settings, dataset), resume))
        refuse_unshared(Path(folder) / STATE)
        return Job(Path(folder), dict(settings), state, task, dataset, device, seed)

    @staticmethod
    def look(folder: Path, settings: Mapping[str, Any], resume: bool, dataset: Dataset) -> None:
        """Raises what `begin` would; nothing is written."""
        RunState.look(folder, _fixed(settings, dataset), resume)

    @property
    def finished(self) -> bool:
        return (self.folder / DOCUMENT).is_file()

    def finish(self, phase: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """Note that a phase is finished; when this returns, the record of the first process stands for all."""
        return self.state.finish(phase, processes.once(lambda: dict(record)))

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.wall_s[phase] = self.wall_s.get(phase, 0.0) + time.monotonic() - start


def refuse_unshared(file: Path) -> None:
    """Raises MachineError in a process that does not see what the first one wrote: they may be on several machines."""
    if not file.is_file():
        raise MachineError(
            f"process {ranks.number()} on {platform.node()} does not see {file}, which the first process wrote",
            "give an --output in a folder that all machines share",
        )


def _fixed(settings: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    return {**{k: v for k, v in settings.items() if k not in _FREE}, "data_fingerprint": dataset.fingerprint}


def data_folder(dataset: Dataset) -> Path:
    """The folder that files in splits.jsonl are relative to, from anywhere on this machine."""
    return folder_of(dataset.source).absolute()
