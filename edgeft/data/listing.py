"""What lies in a folder, in an order that does not depend on the file system."""

from __future__ import annotations

import os
from pathlib import Path

from edgeft.data.found import is_system
from edgeft.errors import DataError


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Everything directly in `folder`, sorted by name. Raises DataError when it cannot be opened."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be opened: {error.strerror}", "check its permissions") from error


def subfolders(folder: Path) -> list[str]:
    """Names of the folders directly in `folder`, without hidden ones and those of the system."""
    return [entry.name for entry in entries_of(folder) if entry.is_dir() and not is_system(entry.name)]
