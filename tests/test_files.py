"""Whole or absent: what a kill, a full disk or an editor can do to files."""

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeft import files
from edgeft.errors import FolderError, MachineError


class Killed(BaseException):
    """Stands for a kill: nothing in edgeft catches it on purpose."""


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a/b.json", {"schema": "edgeft-x/1", "name": "modèle 日本"})  # C05
    assert files.read_json(tmp_path / "a/b.json", "edgeft-x/1", "")["name"] == "modèle 日本"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"schema": "edgeft-x/1"})
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"value": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"schema": "edgeft-x/1"}


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_plain_error_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.bin"  # C02
    files.write_bytes(place, b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(MachineError, match="the disk is full; free some space"):
        files.write_bytes(place, b"new")
    assert place.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_another_os_error_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), files.disk_errors(tmp_path):
        raise OSError(errno.EIO, "odd")


@pytest.mark.parametrize("write", [
    lambda path: files.write_bytes(path, b""), files.refuse_unwritable,
    lambda path: files.whole_folder(path).__enter__(),
])  # fmt: skip
@pytest.mark.parametrize("code", [errno.ENOENT, errno.EPERM, errno.ENAMETOOLONG])
def test_a_place_that_takes_nothing_is_named_and_no_temporary_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Any], code: int
) -> None:
    """As below /proc, where root gets ENOENT for a name nobody typed."""
    def refuse(*names: Any, dir: Path, **more: Any) -> None:
        raise OSError(code, os.strerror(code), f"{dir}/.x.part-abc")

    for name in ("mkstemp", "mkdtemp", "TemporaryFile"):
        monkeypatch.setattr(files.tempfile, name, refuse)
    with pytest.raises(MachineError) as caught:
        write(tmp_path / "x")
    assert caught.value.what == f"{tmp_path / 'x'} could not be written: {os.strerror(code).lower()}"
    assert caught.value.next_step == "choose another --output"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux lists the files a process has open")
def test_a_file_is_closed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # C04
    replace, seen = os.replace, []

    def watched(before: Any, after: Any) -> None:
        links = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        seen.extend([str(before), *(link for link in links if link.startswith(str(tmp_path)))])
        replace(before, after)

    monkeypatch.setattr(files.os, "replace", watched)
    files.write_text(tmp_path / "a.txt", "1")
    with files.whole_folder(tmp_path / "run") as work:
        files.write_text(work / "b.txt", "2")
    assert len(seen) == 3 and [Path(name).name.split(".")[1] for name in seen] == ["a", "b", "run"]


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    files.refuse_unwritable(tmp_path / "new" / "deeper" / "run")
    assert list(tmp_path.iterdir()) == []


def fill(work: Path, content: str) -> None:
    (work / "model").write_text(content)
    (work / "document.json").write_text(content)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "run"
    with files.whole_folder(target) as work:
        fill(work, "1")
        assert not target.exists()
    assert sorted(path.name for path in target.iterdir()) == ["document.json", "model"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "run"
    with files.whole_folder(target) as work:
        fill(work, "old")
    with pytest.raises(Killed), files.whole_folder(target) as work:
        fill(work, "new")
        raise Killed
    assert (target / "model").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_kill_between_the_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """The process dies after `survives` renames; the next command finds the old folder or the new one, whole."""
    target = tmp_path / "run"  # C03
    with files.whole_folder(target) as work:
        fill(work, "old")
    real, done = os.replace, []

    def dying(source: object, to: object) -> None:
        if len(done) >= survives:
            raise Killed
        done.append(source)
        real(source, to)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        patch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # a dead process cleans up nothing
        patch.setattr(files, "recover_folder", lambda _: None)
        with pytest.raises(Killed) if survives < 2 else contextlib.nullcontext(), files.whole_folder(target) as work:
            fill(work, "new")
    files.recover_folder(target)
    assert {path.read_text() for path in target.iterdir()} == {"new" if survives == 2 else "old"}
    with files.whole_folder(target) as work:
        fill(work, "next")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; make it again"),
        (b"{", "not readable JSON"),
        (b"\xff\xfe\x00", "not readable JSON"),
        (b"[1]", "is not an edgeft-x document"),
        (b'{"schema": "edgeft-y/1"}', "is not an edgeft-x document"),
        (b'{"schema": "edgeft-x/2"}', "written by a newer edgeft"),
        (b'{"schema": "edgeft-x/one"}', "is not an edgeft-x document"),
    ],
)
def test_a_document_that_is_not_right_says_why(tmp_path: Path, content: bytes | None, message: str) -> None:
    place = tmp_path / "d.json"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(FolderError, match=message):
        files.read_json(place, "edgeft-x/1", "make it again")


def test_hashes_are_the_standard_ones(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert files.sha256_file(tmp_path / "abc") == files.sha256_text("abc") == known
