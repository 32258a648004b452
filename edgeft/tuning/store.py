"""Features of examples on disk, by content: what a frozen backbone computed once, in this run or in an earlier one.

One file for each backbone, preprocessing and way of varying images (their SHA-256 is its name), with one row an example
(by the SHA-256 of its content) and view. Nothing depends on the names of files or runs, so that a second run on the
same images with another rate, head or number of epochs reads everything.
"""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeft import files
from edgeft.errors import MachineError

# What the folder may hold before the files that were not read for longest are deleted.
_LARGEST_BYTES = 2 << 30
_VARIABLE = "EDGEFT_CACHE"
# A pass over a large folder takes hours, and may be killed: what is ready is written this often, or more seldom where
# writing would take more than a twentieth of the time.
_EVERY_S, _WRITING_SHARE = 20.0, 20


def cache_folder() -> Path:
    """$EDGEFT_CACHE, else edgeft in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get(_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(given or f"{base}/edgeft").expanduser()


class FeatureStore:
    """Rows of float32 features of one backbone, preprocessing and way of varying images.

    address   names all three: equal addresses hold equal features
    """

    def __init__(self, address: str, folder: Path | None = None) -> None:
        self._place = (folder or cache_folder()) / "features" / f"{files.sha256_text(address)}.npz"
        self._due_s = time.monotonic() + _EVERY_S

    def read(self) -> dict[str, NDArray[np.float32]]:
        """Row by key; nothing when nothing was written, or a file is damaged."""
        try:
            with np.load(self._place, allow_pickle=False) as stored:
                keys, rows = stored["keys"], stored["rows"]
            os.utime(self._place)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return {}
        return dict(zip((str(key) for key in keys), rows, strict=True))

    def write_when_due(self, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """`write`, when the last time is long enough ago."""
        begin_s = time.monotonic()
        if begin_s < self._due_s:
            return
        self.write(rows)
        end_s = time.monotonic()
        self._due_s = end_s + max(_EVERY_S, _WRITING_SHARE * (end_s - begin_s))

    def write(self, rows: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep `rows`, all of the same length, in place of what was kept. A full or read-only disk is no fault here."""
        content = io.BytesIO()
        np.savez(content, keys=np.array(list(rows)), rows=np.stack(list(rows.values())))
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(self._place, content.getvalue())
            _delete_oldest(list(self._place.parent.glob("*.npz")), keep=self._place)
        except (OSError, MachineError):
            return


def _delete_oldest(found: Sequence[Path], keep: Path) -> None:
    newest_first = sorted(found, key=lambda path: (path == keep, path.stat().st_mtime), reverse=True)
    total = 0
    for path in newest_first:
        total += path.stat().st_size
        if total > _LARGEST_BYTES and path != keep:
            path.unlink(missing_ok=True)
