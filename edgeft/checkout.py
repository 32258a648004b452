"""Which commit of edgeft runs, when it runs from a checkout of its repository. Reads git's files; starts no process."""

from __future__ import annotations

import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


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
