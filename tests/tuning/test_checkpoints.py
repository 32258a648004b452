from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edgeft.errors import MachineError
from edgeft.tuning.checkpoints import is_complete, last_complete, mark_complete, saving


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights")
    mark_complete(made)
    return made


def test_the_newest_by_number_not_by_name(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    assert last_complete(tmp_path) == newest


def test_one_without_its_mark_is_never_picked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = checkpoint(tmp_path, 3)
    (checkpoint(tmp_path, 6) / "complete.json").unlink()
    assert last_complete(tmp_path) == older
    assert "checkpoint-6 is incomplete" in capsys.readouterr().err
    assert not (tmp_path / "checkpoint-6").exists()


@pytest.mark.parametrize("content", [b"weight", b"weighty", b"weightz"])
def test_cut_off_grown_or_changed_files_are_noticed(tmp_path: Path, content: bytes) -> None:
    made = checkpoint(tmp_path, 3)
    assert is_complete(made)
    (made / "model.safetensors").write_bytes(content)
    assert not is_complete(made)
    assert last_complete(tmp_path) is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path: Path, error: Exception) -> None:  # C02
    older = checkpoint(tmp_path, 3)
    broken = tmp_path / "checkpoint-6"
    broken.mkdir()
    (broken / "model.safetensors").write_bytes(b"wei")
    with pytest.raises(MachineError, match="the disk is full"), saving(broken):
        raise error
    assert not broken.exists()
    assert last_complete(tmp_path) == older


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"), saving(tmp_path / "checkpoint-1"):
        raise RuntimeError("something else")
