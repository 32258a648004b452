"""Reading /proc and /sys below a root that tests can choose. What cannot be read is absent, never guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """The file tree of a machine; `root` is "/" on the machine itself, a folder of recorded files in tests."""

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def text(self, name: str | Path) -> str | None:
        """Content without surrounding space and NUL bytes; None when it is missing, unreadable or empty.

        Sensors of parts that are switched off answer EAGAIN or EIO: that is absent too.
        """
        place = name if isinstance(name, Path) else self.path(name)
        try:
            found = place.read_text(encoding="utf-8", errors="replace").strip(" \t\r\n\0")
        except OSError:
            return None
        return found or None

    def number(self, name: str | Path) -> int | None:
        found = self.text(name)
        return int(found) if found is not None and re.fullmatch(r"-?\d+", found) else None

    def glob(self, pattern: str) -> list[Path]:
        """Matches in natural order: cpu2 before cpu10."""
        try:
            return sorted(self.root.glob(pattern.lstrip("/")), key=_natural)
        except OSError:
            return []

    def fields(self, name: str) -> dict[str, str]:
        """`key: value` or `key=value` lines, the first of each key."""
        found: dict[str, str] = {}
        for line in (self.text(name) or "").splitlines():
            key, mark, value = re.match(r"([^:=]*)([:=]?)(.*)", line).groups()  # type: ignore[union-attr]
            if mark:
                found.setdefault(key.strip(), value.strip().strip('"'))
        return found


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]


def cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list format: "0-3,6" is 0 1 2 3 6."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdigit():
            found.extend(range(int(first), int(last if dash else first) + 1))
    return tuple(found)
