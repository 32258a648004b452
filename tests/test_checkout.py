"""The commit that runs, from git's files alone, and whether the code was edited since."""

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeft import checkout

HASH = "0123456789abcdef0123456789abcdef01234567"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{content}\n")
    return root


@pytest.mark.parametrize(
    "files",
    [
        {".git/HEAD": HASH},
        {".git/HEAD": "ref: refs/heads/main", ".git/refs/heads/main": HASH},
        {".git/HEAD": "ref: refs/heads/main", ".git/packed-refs": f"# pack-refs with: peeled\n{HASH} refs/heads/main"},
        {
            ".git": "gitdir: main/.git/worktrees/here", "main/.git/worktrees/here/HEAD": "ref: refs/heads/topic",
            "main/.git/worktrees/here/commondir": "../..", "main/.git/refs/heads/topic": HASH,
        },
    ],
    ids=["detached", "branch", "packed", "linked work tree"],
)  # fmt: skip
def test_where_git_keeps_the_commit(tmp_path: Path, files: dict[str, str]) -> None:
    assert checkout.commit(write(tmp_path, files)) == HASH


@pytest.mark.parametrize("files", [{}, {".git/HEAD": "ref: refs/heads/new"}, {".git/HEAD": "something else"}])
def test_without_a_commit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert checkout.commit(write(tmp_path, files)) is None


def test_it_is_what_git_says() -> None:
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    try:
        said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("git does not work here")
    assert checkout.commit() == said.stdout.strip()


def git(root: Path, *words: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *name, *words], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_an_edited_checkout_says_so_and_an_edited_test_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, {"edgeft/run.py": "a = 1", "tests/test_run.py": "b = 1", "profiles/board.toml": "c = 1"})
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    assert checkout.record(tmp_path) == {"git_commit": checkout.commit(tmp_path), "git_dirty": False}
    write(tmp_path, {"tests/test_run.py": "b = 2"})
    assert checkout.dirty(tmp_path) is False
    write(tmp_path, {"profiles/new.toml": "d = 1"})  # a new file changes what runs, too
    assert checkout.dirty(tmp_path) is True
    (tmp_path / "profiles/new.toml").unlink()
    write(tmp_path, {"edgeft/run.py": "a = 2"})
    assert checkout.record(tmp_path)["git_dirty"] is True


def test_what_git_cannot_say_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.record(tmp_path) == {}  # an installed package
    write(tmp_path, {".git/HEAD": HASH})
    assert checkout.record(tmp_path) == {"git_commit": HASH}  # not a repository that git reads
    monkeypatch.setenv("PATH", "/nowhere")
    assert checkout.dirty(tmp_path) is None
