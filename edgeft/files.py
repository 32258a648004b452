"""Files that another step reads are whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeft.errors import FolderError, MachineError


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full or read-only disk becomes one plain MachineError about `path`."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
            errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
            errno.EACCES: ("permission denied", "choose another --output"),
            errno.EROFS: ("the file system is read-only", "choose another --output"),
        }
        if error.errno not in reasons:
            raise
        what, next_step = reasons[error.errno]
        raise MachineError(f"{path} could not be written: {what}", next_step) from error


@contextlib.contextmanager
def place_errors(path: Path) -> Iterator[None]:
    """Whatever keeps a file or folder from being begun becomes one MachineError about `path`, not about the temporary
    name beside it."""
    try:
        with disk_errors(path):
            yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MachineError(f"{path} could not be written: {why}", "choose another --output") from error


def refuse_unwritable(path: Path) -> None:
    """Say before hours of work that `path` cannot be written: a file is made, and removed, in the nearest folder above
    it that is there. Raises MachineError."""
    path = Path(path).absolute()
    above = next(folder for folder in path.parents if folder.exists())
    with place_errors(path), tempfile.TemporaryFile(dir=above):
        pass


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a power cut (a no-op where directories cannot be opened)."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader finds either the old file or the whole new one."""
    path = Path(path)
    with place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    with disk_errors(path):
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        sync_directory(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document; NaN and infinity are refused, since other readers cannot read them."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, schema: str, next_step: str) -> dict[str, Any]:
    """Read a document of `schema` ("edgeft-bundle/1").

    Raises FolderError when the file is missing, is no JSON, is of another kind, or of a newer version;
    `next_step` tells the user how to make a good one.
    """
    path = Path(path)
    if not path.is_file():
        raise FolderError(f"{path} is missing", next_step)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise FolderError(f"{path} is not readable JSON ({error}): it was edited or cut off", next_step) from error
    found = document.get("schema") if isinstance(document, dict) else None
    kind, _, version = schema.partition("/")
    match = re.fullmatch(re.escape(kind) + r"/(\d+)", str(found))
    if match is None:
        raise FolderError(f"{path} is not an {kind} document (its schema is {found!r})", next_step)
    if int(match.group(1)) > int(version):
        raise FolderError(
            f"{path} was written by a newer edgeft (schema {found}, this one reads up to {schema})",
            "install a newer edgeft",
        )
    whole: dict[str, Any] = document
    return whole


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder that appears only when everything in it is written.

    Yields a working folder beside `path`; when the block ends well it takes the place of `path`, and an older
    folder there is removed only after that. When the block fails, `path` is as it was before.
    """
    path = Path(path)
    with place_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover_folder(path)
        for left_over in path.parent.glob(f".{path.name}.part-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.part-", dir=path.parent))
        os.chmod(work, 0o777 & ~_umask())
    with disk_errors(path):
        try:
            yield work
            before = _before(path)
            if path.exists():
                os.replace(path, before)
            os.replace(work, path)
            sync_directory(path.parent)
            shutil.rmtree(before, ignore_errors=True)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            recover_folder(path)
            raise


def _before(path: Path) -> Path:
    return path.parent / f".{path.name}.before"


def recover_folder(path: Path) -> None:
    """Put the older folder back when a kill fell between the two renames of `whole_folder`."""
    before = _before(path)
    if before.exists() and not path.exists():
        os.replace(before, path)
    elif before.exists():
        shutil.rmtree(before, ignore_errors=True)
