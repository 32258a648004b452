"""The commit that runs, from git's files alone."""

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
