"""Checkpoints that can be trusted: each has a mark, written last, with the size and hash of every file in it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeft import console, files, ranks
from edgeft.errors import EdgeftError, MachineError

_MARK = "complete.json"
_SCHEMA = "edgeft-checkpoint/1"
# What torch and safetensors say when a write fails: neither raises an OSError with its number.
_FULL_DISK = ("no space left", "os error 28", "pytorchstreamwriter failed", "quota exceeded", "os error 122")


def mark_complete(folder: Path) -> None:
    """Flush every file of `folder` to the disk, then write the mark."""
    sizes = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MARK):
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
        sizes[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": files.sha256_file(file)}
    files.write_json(folder / _MARK, {"schema": _SCHEMA, "files": sizes})


def is_complete(folder: Path) -> bool:
    """Does `folder` have its mark, and is every file in it what the mark says?"""
    try:
        recorded = files.read_json(folder / _MARK, _SCHEMA, "")["files"]
    except (EdgeftError, KeyError):
        return False
    return all(_is_same(folder / name, entry) for name, entry in recorded.items())


def _is_same(file: Path, entry: dict[str, object]) -> bool:
    if not file.is_file() or file.stat().st_size != entry["bytes"]:
        return False
    return files.sha256_file(file) == entry["sha256"]


def last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint-N of `folder`; newer broken ones are removed, with a line that says so."""
    numbered = [(int(match.group(1)), path) for path in folder.glob("checkpoint-*") if (match := _number(path))]
    for _, path in sorted(numbered, reverse=True):
        if is_complete(path):
            return path
        console.warn(f"{path} is incomplete or was changed; it is not used")
        shutil.rmtree(path, ignore_errors=True)
    return None


def forget(folder: Path) -> None:
    """Of a finished phase, which is read from its own folder: its checkpoints would only fill the disk."""
    if ranks.first():
        shutil.rmtree(folder, ignore_errors=True)


def _number(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"checkpoint-(\d+)", path.name)


@contextlib.contextmanager
def saving(folder: Path) -> Iterator[None]:
    """While a checkpoint is written to `folder`: a full disk becomes one MachineError, and no broken part stays."""
    try:
        with files.disk_errors(folder):
            yield
    except MachineError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        if any(sign in str(error).lower() for sign in _FULL_DISK) or getattr(error, "errno", 0) == errno.ENOSPC:
            raise MachineError(
                f"{folder} could not be written: the disk is full", "free some space and repeat with --resume"
            ) from error
        raise
