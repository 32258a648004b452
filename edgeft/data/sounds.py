"""Every sound is decoded whole, once, before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.data import audiofile
from edgeft.data.audiofile import Heard
from edgeft.data.dataset import Dataset
from edgeft.data.found import Row
from edgeft.data.inspecting import all_of, problem_of, refuse_bad
from edgeft.errors import DataError

# Peaks below this are silence: one step of 16 bits.
_SILENT = 1 / 2**15


@dataclass(frozen=True)
class Inspected:
    """One file: SHA-256 of its bytes, what is wrong with it (None: nothing), and what it is like when decoded."""

    sha256: str
    problem: str | None
    heard: Heard | None = None


def sound_rows(
    ids: Sequence[str], paths: Sequence[Path], labels: Sequence[str], decode: bool, where: str
) -> tuple[list[Row], dict[str, Any]]:
    """A Row for every sound, and figures for the record. Raises one DataError for all that cannot be read."""
    if decode:
        audiofile.soundfile()
    inspected = all_of(_inspect, paths, ids, decode, "sounds")
    refuse_bad([one.problem for one in inspected], ids, where, "sounds")
    found = zip(ids, paths, labels, inspected, strict=True)
    return [Row(id_, path, label, one.sha256) for id_, path, label, one in found], sound_facts(inspected)


def sound_facts(inspected: Sequence[Inspected]) -> dict[str, Any]:
    """Figures for the record; nothing when sounds were not decoded."""
    heard = [one.heard for one in inspected if one.heard]
    if not heard:
        return {}
    seconds = sorted(one.seconds for one in heard)
    facts = {
        "rates_hz": _counted(str(one.rate_hz) for one in heard),
        "channels": _counted(str(one.channels) for one in heard),
        "stored": _counted(one.stored for one in heard),
        "seconds": {
            "least": round(seconds[0], 4), "median": round(seconds[len(seconds) // 2], 4),
            "most": round(seconds[-1], 4), "sum": round(sum(seconds), 1),
        },
        "silent": sum(one.peak < _SILENT for one in heard),
        "clipped": sum(one.peak > 1 for one in heard),
    }  # fmt: skip
    return {"sounds": facts}


def longest_s(dataset: Dataset) -> float:
    """Length of the longest example of any split, as the files' headers say it, in seconds. Raises DataError."""
    return max(audiofile.seconds_of(Path(str(one.content))) for split in dataset.splits.values() for one in split)


def _counted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def sound_notices(facts: Mapping[str, Any]) -> list[str]:
    """What a person should know of `sound_facts`: how long the sounds are, and what is out of the ordinary."""
    if not facts:
        return []
    found = facts["sounds"]
    seconds = found["seconds"]
    lines = [
        f"sounds of {seconds['least']:.2f} to {seconds['most']:.2f} s, half of them up to {seconds['median']:.2f}, at "
        + ", ".join(f"{rate} Hz ({n})" for rate, n in found["rates_hz"].items())
    ]
    several = sum(n for channels, n in found["channels"].items() if channels != "1")
    if several:
        lines.append(f"{several} sounds have several channels, and their mean is used")
    if found["silent"]:
        lines.append(f"{found['silent']} sounds are silent from beginning to end")
    if found["clipped"]:
        lines.append(f"{found['clipped']} sounds go beyond 1, as floating point may, and are used as they are")
    return lines


def _inspect(path: Path, name: str, decode: bool) -> Inspected:
    try:
        sha256 = files.sha256_file(path)
    except OSError as error:
        return Inspected("", problem_of(path, error))
    if not decode:
        return Inspected(sha256, None)
    try:
        return Inspected(sha256, None, audiofile.inspect(path, name))
    except DataError as error:
        return Inspected(sha256, error.what.removeprefix(f"{name} ").removeprefix("cannot be read: it is "))
