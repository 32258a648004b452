"""The kinds of files that examples can be: one line in MEDIA and one module with its rows, facts and notices each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.data import audiofile, imagefile
from edgeft.data.found import Row, is_system
from edgeft.data.images import image_facts, image_notices, image_rows
from edgeft.data.sounds import sound_notices, sound_rows

Rows = Callable[[Sequence[str], Sequence[Path], Sequence[str], bool, str], tuple[list[Row], dict[str, Any]]]


@dataclass(frozen=True)
class Medium:
    """One kind of files.

    content     what examples of it are called in edgeft.data.dataset
    many        the same for a person
    suffixes    of its files, in small letters
    looks_like  whether the first 16 bytes of a file are of this kind
    rows        (ids, paths, labels, decode, where) -> rows, and figures for the record
    notices     what a person should know of these figures
    """

    content: str
    many: str
    suffixes: frozenset[str]
    looks_like: Callable[[bytes], bool]
    rows: Rows
    notices: Callable[[Mapping[str, Any]], list[str]]

    def names(self, name: str) -> bool:
        """Is the file called `name` one of this kind, by its suffix?"""
        return Path(name).suffix.lower() in self.suffixes


def _image_rows(
    ids: Sequence[str], paths: Sequence[Path], labels: Sequence[str], decode: bool, where: str
) -> tuple[list[Row], dict[str, Any]]:
    rows, seen = image_rows(ids, paths, labels, decode, where)
    return rows, image_facts(seen)


IMAGES = Medium("image", "images", imagefile.SUFFIXES, imagefile.looks_like_image, _image_rows, image_notices)
SOUNDS = Medium("audio", "sounds", audiofile.SUFFIXES, audiofile.looks_like_sound, sound_rows, sound_notices)
MEDIA = (IMAGES, SOUNDS)


def medium_of(folder: Path) -> Medium | None:
    """The kind of most files in `folder` and below, by their suffixes (music comes with pictures of its covers); None
    without any."""
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_system(name)]
        found.update(
            medium.content for name in names for medium in MEDIA if medium.names(name) and not is_system(name)
        )
    return next((medium for medium in MEDIA if found and found[medium.content] == max(found.values())), None)
