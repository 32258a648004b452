"""Which commit of edgeft runs, when it runs from a checkout of its repository, and whether it was edited since."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The folders whose files decide what a command does; an edited test or page changes no figure.
_CODE = ("edgeft", "profiles")


def record(root: Path | None = None) -> dict[str, str | bool]:
    """{"git_commit", "git_dirty"} for the head of a result; empty for an installed package, and without "git_dirty"
    where git is not installed."""
    known = commit(root)
    if known is None:
        return {}
    edited = dirty(root)
    return {"git_commit": known} | ({} if edited is None else {"git_dirty": edited})


def dirty(root: Path | None = None) -> bool | None:
    """Whether code or profiles differ from the commit, new files counted; None where git cannot say.

    Only git itself knows its index, so it is asked; without locks, because measuring must not write.
    """
    place = str(root or Path(__file__).resolve().parents[1])
    ask = ["git", "-C", place, "--no-optional-locks", "status", "--porcelain", "--", *_CODE]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return bool(done.stdout.strip()) if done.returncode == 0 else None


def commit(root: Path | None = None) -> str | None:
    """The hash HEAD stands at; None for an installed package. root: the folder that holds the package's own."""
    root = root or Path(__file__).resolve().parents[1]
    folder = root / ".git"
    if (linked := _text(folder)).startswith("gitdir: "):  # a linked work tree
        folder = root / linked.removeprefix("gitdir: ")
    head = _text(folder / "HEAD")
    found = _resolved(folder, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    return found if _HASH.fullmatch(found) else None


def _resolved(folder: Path, ref: str) -> str:
    """A branch lies in a file of its own, or in packed-refs; those of a linked work tree beside the main one's."""
    shared = folder / (_text(folder / "commondir") or ".")
    if found := _text(folder / ref) or _text(shared / ref):
        return found
    packed = (line.split(" ") for line in _text(shared / "packed-refs").splitlines())
    return next((parts[0] for parts in packed if parts[1:] == [ref]), "")


def _text(place: Path) -> str:
    try:
        return place.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
