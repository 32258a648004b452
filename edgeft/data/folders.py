"""Folders of images or sounds: one a class, with or without train, validation and test folders above them."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

from edgeft.data.columns import Columns
from edgeft.data.found import ALL, Found, Row, by_split, is_system, one_form, split_of
from edgeft.data.listing import entries_of, is_output, subfolders
from edgeft.data.media import IMAGES, SOUNDS, Medium, medium_of
from edgeft.data.metadata import refuse_conflicts, with_groups, with_slices
from edgeft.data.saved import is_saved_dataset
from edgeft.data.tables import has_training_table
from edgeft.errors import DataError


class FolderReader:
    """Reads folders of files of one kind."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self.takes = (
            f"a folder with one folder of {medium.many} for each class (or with such folders in train, validation and "
            "test)"
        )

    def can_read(self, data: str) -> bool:
        """A folder without any file of a known kind is taken for one of images, whose reader says what it lacks."""
        root = Path(data).expanduser()
        if not root.is_dir() or is_saved_dataset(root):
            return False
        held = medium_of(root)
        if held is None:
            return self._medium is IMAGES and bool(subfolders(root)) and not has_training_table(root)
        if held is not self._medium:
            return False
        return held is IMAGES or (bool(subfolders(root)) and not has_training_table(root))

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        root, medium = Path(data).expanduser(), self._medium
        walk = Walk(root, medium)
        places = _layout(root)
        classes = [(split, label, path) for split, place in places.items() for label, path in walk.classes(place)]
        ids = [walk.id(path) for _, _, path in classes]
        rows, facts = medium.rows(
            ids, [path for *_, path in classes], [label for _, label, _ in classes], image_check, data
        )
        notices = [*medium.notices(facts), *refuse_conflicts(root, list(places.values()), rows, medium.many)]
        if columns.group is not None:
            rows = with_groups(root, list(places.values()), rows, columns.group, medium.many)
        if columns.slice is not None:
            rows = with_slices(root, list(places.values()), rows, columns.slice, medium.many)
        splits: dict[str, list[Row]] = {split: [] for split in places}
        for (split, *_), row in zip(classes, rows, strict=True):
            splits[split].append(row)
        return Found(medium.content, splits, [*walk.notices(), *notices], facts)


class Walk:
    """Finds files of one kind, and counts what it leaves out so that one line can say so."""

    def __init__(self, root: Path, medium: Medium = IMAGES) -> None:
        self._root, self._medium = root, medium
        self._system: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._strays = 0

    def id(self, path: Path) -> str:
        """Path inside the data folder, with / and in Unicode form NFC: the same on every system."""
        return one_form(path.relative_to(self._root).as_posix())

    def classes(self, place: Path) -> list[tuple[str, Path]]:
        """(label, file) of every class folder in `place`, sorted. Raises DataError for one without any."""
        found, many = [], self._medium.many
        folders: dict[str, list[Path]] = defaultdict(list)
        for entry in entries_of(place):
            if self._is_system(entry):
                continue
            if entry.is_dir():
                folders[_label(entry)].append(Path(entry.path))
            elif self._is_one(entry):
                self._strays += 1
        if not folders:
            raise DataError(
                f"{place} holds no class folders", f"put the {many} of each class into a folder named by it"
            )
        for label, paths in sorted(folders.items()):
            held = sorted(file for path in paths for file in self._files(path, {os.path.realpath(place)}))
            if not held:
                raise DataError(
                    f"the class folder {paths[0]} holds no {many}{_holds(paths[0])}",
                    f"add {many} of that class or remove the folder",
                )
            found += [(label, file) for file in held]
        return found

    def _files(self, folder: Path, above: set[str]) -> list[Path]:
        """Files of the kind in `folder` and below; a link back to a folder above is not followed again."""
        real = os.path.realpath(folder)
        if real in above:
            return []
        found = []
        for entry in entries_of(folder):
            if self._is_system(entry):
                continue
            if entry.is_dir():
                found += self._files(Path(entry.path), above | {real})
            elif self._is_one(entry):
                found.append(Path(entry.path))
            else:
                self._others[Path(entry.name).suffix.lower() or "without suffix"] += 1
        return found

    def _is_system(self, entry: os.DirEntry[str]) -> bool:
        system = is_system(entry.name) or is_output(entry)
        if system:
            self._system[entry.name if entry.is_dir() else "files"] += 1
        return system

    def _is_one(self, entry: os.DirEntry[str]) -> bool:
        """By its suffix in any case; a file with another suffix, or none, by its first bytes."""
        if self._medium.names(entry.name):
            return True
        try:
            with open(entry.path, "rb") as file:
                return self._medium.looks_like(file.read(16))
        except OSError:
            return False

    def notices(self) -> list[str]:
        lines = []
        if self._system:
            names = ", ".join(f"{name} ({n})" for name, n in sorted(self._system.items())[:5])
            lines.append(f"{sum(self._system.values())} hidden or system entries left out: {names}")
        if self._others:
            names = ", ".join(f"{suffix} ({n})" for suffix, n in sorted(self._others.items())[:5])
            lines.append(f"{sum(self._others.values())} files that are no {self._medium.many} left out: {names}")
        if self._strays:
            lines.append(f"{self._strays} {self._medium.many} that lie outside any class folder left out")
        return lines


def _label(entry: os.DirEntry[str]) -> str:
    """As a table's labels are read: blanks around a name, which nobody sees and Windows drops, are no part of it."""
    name = one_form(entry.name).strip()
    if not name:
        raise DataError(f"the class folder {entry.path!r} has a name of blanks only", "give it the name of its class")
    return name


def _holds(folder: Path) -> str:
    """What a folder has instead: " (but .wav files)"."""
    suffixes = sorted({Path(entry.name).suffix or "other" for entry in entries_of(folder) if not is_system(entry.name)})
    return f" (but {', '.join(suffixes[:3])} files)" if suffixes else ""


def _layout(root: Path) -> dict[str, Path]:
    """Split -> folder. Folders are splits when train is among them and holds class folders itself."""
    names = subfolders(root)
    trains = [name for name in names if split_of(name) == "train" and subfolders(root / name)]
    others = [name for name in names if split_of(name) is None]
    if trains and others:
        raise DataError(
            f"{root} has the folder {others[0]!r} beside {trains[0]!r}, and it is no split",
            "move it away, or put it inside the splits when it is a class",
        )
    if trains or (names and not others):
        return {split: root / name for split, name in by_split(names, str(root)).items()}
    if len(names) == 1 and len(subfolders(root / names[0])) > 1:
        raise DataError(
            f"{root} has only the folder {names[0]!r}, which has folders itself", f"did you mean {root / names[0]}?"
        )
    return {ALL: root}


IMAGE_READER = FolderReader(IMAGES)
SOUND_READER = FolderReader(SOUNDS)
