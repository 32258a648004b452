"""A written result: the folder, its document, and its raw samples when asked for."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import files
from edgeft.evaluation.changed import SCHEMA as CHANGED_SCHEMA
from edgeft.evaluation.record import SAMPLES as SAMPLES
from edgeft.evaluation.record import SCHEMA

DOCUMENT = "result.json"
CHANGED = "changed.json"


@dataclass(frozen=True)
class Result:
    """`document` is result.json (edgeft-result/1) of the folder `path`."""

    path: Path
    document: Mapping[str, Any]

    @staticmethod
    def open(path: str | Path) -> Result:
        """Raises FolderError when the folder has no whole result.json, or one of a newer edgeft."""
        folder = Path(path)
        if folder.name == DOCUMENT:
            folder = folder.parent
        return Result(folder, files.read_json(folder / DOCUMENT, SCHEMA, "measure again with edgeft eval BUNDLE"))

    def samples(self) -> dict[str, NDArray[Any]]:
        """The raw arrays of samples.npz: NAME/query_ns, NAME/query_block, NAME/predicted, NAME/logits, labels."""
        with np.load(self.path / SAMPLES) as stored:
            return {name: stored[name] for name in stored.files}

    def changed(self) -> dict[str, Any]:
        """What edgeft.evaluation.changed wrote; empty for a result without it."""
        if not (self.path / CHANGED).is_file():
            return {}
        return files.read_json(self.path / CHANGED, CHANGED_SCHEMA, "measure again with edgeft eval BUNDLE")


def write_samples(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    files.write_bytes(path, buffer.getvalue())
