"""A file tree, commands and a network that answer from a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeft.evaluation.meters.world import ReadError, World


def write(root: Path, files: Mapping[str, str | int]) -> Path:
    """The content "<unreadable>" becomes a folder in the place of the file: not readable for root either."""
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if content == "<unreadable>":
            place.mkdir(exist_ok=True)
        else:
            place.write_text(f"{content}\n")
    return root


def world(root: Path, run: str | None = None, get: Mapping[str, str] | None = None, load=None) -> World:
    def answer(command):
        if run is None:
            raise ReadError(f"{command[0]}: No such file or directory")
        return run

    def body(url):
        if url not in (get or {}):
            raise ReadError(f"{url}: refused")
        return get[url]

    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    return World(root, answer, body, load or missing)
