"""Every image is decoded whole, once, before anything is trained on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.data.alike import image_key
from edgeft.data.found import Row
from edgeft.data.imagefile import TURNED, decode_frame, pillow, to_rgb
from edgeft.data.inspecting import all_of, problem_of, refuse_bad
from edgeft.errors import DataError


@dataclass(frozen=True)
class Inspected:
    """One file: SHA-256 of its bytes, number of frames, what is wrong with it (None: nothing), and what it is like.

    mode    Pillow's name for its colours, as stored ("RGB", "CMYK", "P" palette, "I;16", …)
    size    (width, height) in pixels, upright
    turned  it was turned upright as its EXIF orientation says
    look    its edgeft.data.alike.image_key
    """

    sha256: str
    frames: int
    problem: str | None
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    turned: bool = False
    look: str = ""


def image_rows(
    ids: Sequence[str], paths: Sequence[Path], labels: Sequence[str], decode: bool, where: str
) -> tuple[list[Row], list[Inspected]]:
    """A Row for every image, and what was seen of it. Raises one DataError for all that cannot be read."""
    inspected = inspect_images(paths, ids, decode)
    refuse_bad([one.problem for one in inspected], ids, where, "images")
    found = zip(ids, paths, labels, inspected, strict=True)
    return [Row(id_, path, label, one.sha256, look=one.look) for id_, path, label, one in found], inspected


def image_facts(inspected: Sequence[Inspected]) -> dict[str, Any]:
    """Figures for the record; nothing when images were not decoded."""
    decoded = [one for one in inspected if one.mode]
    if not decoded:
        return {}
    sides = sorted(min(one.size) for one in decoded)
    modes = Counter(one.mode for one in decoded)
    facts = {
        "modes": dict(sorted(modes.items(), key=lambda item: (-item[1], item[0]))),
        "shorter_side_px": {"least": sides[0], "median": sides[len(sides) // 2], "most": sides[-1]},
        "turned_by_exif": sum(one.turned for one in decoded),
        "several_frames": sum(one.frames > 1 for one in decoded),
    }
    return {"images": facts}


def image_notices(facts: Mapping[str, Any]) -> list[str]:
    """What a person should know of `image_facts`: only what is out of the ordinary."""
    if not facts:
        return []
    found = facts["images"]
    others = {mode: n for mode, n in found["modes"].items() if mode != "RGB"}
    lines = []
    if others:
        named = ", ".join(f"{_MODES.get(mode, mode)} {n}" for mode, n in others.items())
        lines.append(f"{sum(others.values())} images are not stored as RGB and are converted to it: {named}")
    if found["turned_by_exif"]:
        lines.append(f"{found['turned_by_exif']} images are turned upright as their EXIF data says")
    if found["several_frames"]:
        lines.append(f"{found['several_frames']} images have several frames: the first one of each is used")
    return lines


_MODES = {"L": "gray", "1": "1-bit", "P": "palette", "RGBA": "transparent", "LA": "transparent gray", "I;16": "16-bit"}


def inspect_images(paths: Sequence[Path], names: Sequence[str], decode: bool) -> list[Inspected]:
    """Hash every file and, with `decode`, decode it whole; in the order given. Nothing is raised for a bad file."""
    if decode:
        pillow()
    return all_of(_inspect, paths, names, decode, "images")


def _inspect(path: Path, name: str, decode: bool) -> Inspected:
    try:
        content = path.read_bytes()
    except OSError as error:
        return Inspected("", 0, problem_of(path, error))
    sha256 = hashlib.sha256(content).hexdigest()
    if not decode:
        return Inspected(sha256, 1, None)
    try:
        image, frames = decode_frame(content, name)
        look = image_key(to_rgb(image, name))
    except DataError as error:
        return Inspected(sha256, 0, error.what.removeprefix(f"{name} ").removeprefix("cannot be read: it is "))
    return Inspected(sha256, frames, None, image.mode, image.size, bool(image.info.get(TURNED)), look)
