"""Bundles as one file, NAME.edgeft.tar.gz: packed the same way every time, unpacked whole or not at all."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from edgeft import files
from edgeft.errors import FolderError, MachineError

SUFFIX = ".edgeft.tar.gz"
_LOCAL = "settings.json"  # paths of the machine it was made on; nothing on the device reads it
_LONGEST_NAME = 255  # bytes, on every common file system
_AGAIN = "copy the archive again, or make it again with edgeft export --archive"


def pack(folder: Path, target: Path | None = None) -> Path:
    """Write `folder` into one archive (beside it, by default) and return its path.

    Links are followed, so the archive holds real files; hidden files and settings.json stay out. Equal folders give
    equal archives.
    """
    folder = Path(folder)
    target = Path(target) if target else folder.with_name(folder.name + SUFFIX)
    with files.disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            whole = Path(place) / target.name
            with open(whole, "wb") as file:
                _write(folder, file)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(target)
    return target


def _write(folder: Path, file: IO[bytes]) -> None:
    # No time stamp and no names of users: the same bundle gives the same bytes.
    with (
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, dereference=True) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and str(name) != _LOCAL and not any(part.startswith(".") for part in name.parts):
                entry = archive.gettarinfo(str(path), arcname=f"{folder.resolve().name}/{name.as_posix()}")
                entry.uid = entry.gid = entry.mtime = 0
                entry.uname = entry.gname = ""
                entry.mode = 0o644
                with open(path, "rb") as content:
                    archive.addfile(entry, content)


def unpack(archive: Path, target: Path, check: Callable[[Path], object] = lambda folder: None) -> Path:
    """Unpack `archive` to the folder `target` and return it.

    check   looks at the unpacked folder before it gets its name; what it raises leaves nothing behind
    Raises FolderError, and writes nothing, when an entry has an absolute name or `..`, is a link or a device, when
    the archive is cut off, or when `target` is there already; MachineError when the disk is too small.
    """
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise FolderError(f"{target} is there already", "remove it, or give its path instead of the archive")
    try:
        with tarfile.open(archive, "r:gz") as packed:
            members = _checked(archive, packed)
            _check_space(archive, target, sum(member.size for member in members))
            with files.whole_folder(target) as work:
                for member in members:
                    _extract(packed, member, work)
                check(work)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FolderError(f"{archive} is not a whole .tar.gz ({error})", _AGAIN) from None
    return target


def content_of(archive: Path, name: str) -> bytes | None:
    """The bytes of one file of the packed folder, or None when it holds none of that name."""
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                if member.isfile() and member.name.partition("/")[2] == name:
                    content = packed.extractfile(member)
                    return content.read() if content else None
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FolderError(f"{archive} is not a whole .tar.gz ({error})", _AGAIN) from None
    return None


def _checked(archive: Path, packed: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members, tops, seen, parents = [], set(), set(), set()
    for member in packed.getmembers():
        # "tar czf x ./folder" writes a dot before every name.
        member.name = "/".join(part for part in member.name.split("/") if part != ".") or "."
        if member.name == "." and member.isdir():
            continue
        if not safe_name(member.name):
            raise FolderError(f"{archive} has an entry {member.name!r} that would leave the folder", _AGAIN)
        if not (member.isfile() or member.isdir()):
            raise FolderError(f"{archive} has an entry {member.name!r} that is a link or a device", _AGAIN)
        if max(len(part.encode()) for part in member.name.split("/")) > _LONGEST_NAME:
            raise FolderError(f"{archive} has an entry whose name is too long: {member.name[:60]}…", _AGAIN)
        tops.add(member.name.split("/")[0])
        parents |= {str(above) for above in PurePosixPath(member.name).parents}
        if member.isfile():
            if member.name in seen:
                raise FolderError(f"{archive} has two entries {member.name!r}", _AGAIN)
            seen.add(member.name)
            members.append(member)
    if seen & parents:
        raise FolderError(f"{archive} has an entry {min(seen & parents)!r} that is a file and a folder", _AGAIN)
    if len(tops) != 1 or any("/" not in name for name in seen) or not members:
        raise FolderError(f"{archive} does not hold one folder with a bundle", _AGAIN)
    return members


def safe_name(name: str) -> bool:
    """A relative path that stays below its folder on every system."""
    parts = re.split(r"[/\\]", name)
    return bool(name) and "\0" not in name and not re.match(r"[A-Za-z]:", name) and not {"", ".."} & set(parts)


def _check_space(archive: Path, target: Path, needed: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise MachineError(f"{archive} needs {needed} bytes and {target.parent} has {free} free", "free some space")


def _extract(packed: tarfile.TarFile, member: tarfile.TarInfo, work: Path) -> None:
    place = work / member.name.split("/", 1)[1]
    place.parent.mkdir(parents=True, exist_ok=True)
    content = packed.extractfile(member)
    assert content is not None  # _checked keeps regular files only
    with content, open(place, "wb") as file:
        shutil.copyfileobj(content, file)
