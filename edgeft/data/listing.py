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


# What the commands write into a folder of their own: a run, one in progress, a bundle, a result.
_DOCUMENTS = ("tuned.json", "state.json", "manifest.json", "result.json")


def is_output(entry: os.DirEntry[str]) -> bool:
    """Is this a folder that edgeft wrote? Its images are copies, and no class."""
    return entry.is_dir() and any(os.path.isfile(os.path.join(entry.path, name)) for name in _DOCUMENTS)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders directly in `folder`, without hidden ones, those of the system and what edgeft wrote."""
    folders = [entry for entry in entries_of(folder) if entry.is_dir()]
    return [entry.name for entry in folders if not is_system(entry.name) and not is_output(entry)]
