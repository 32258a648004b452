"""Held-out splits that keep every class's share, the same for the same seed on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from edgeft.data.found import Row
from edgeft.errors import DataError

HELD_OUT_PERCENT = 10


def held_out(n: int, percent: int) -> int:
    """How many of a class's n examples go to a split of `percent`: rounded half up, and at least one."""
    return max(1, (n * percent + 50) // 100)


def stratified(rows: Sequence[Row], percents: Mapping[str, int], seed: int) -> dict[str, list[Row]]:
    """Take `percents` ("test" -> 10) of each class; the rest is "train". Each split keeps the order of `rows`.

    Who is taken depends on the seed and on each example's content and id, not on the order of `rows`: rows of a
    class are sorted by SHA-256("seed:sha256 of the content") and then id, and the first ones are taken, split by
    split. Copies of one content so stay side by side and mostly in one split.

    Raises DataError naming the classes with too few examples to have one in every split.
    """
    _refuse_small(rows, len(percents) + 1, [*percents, "train"])
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        classes[row.label].append(row)
    chosen: dict[str, str] = {}
    for members in classes.values():
        members.sort(key=lambda row: (_draw(row, seed), row.id))
        start = 0
        for split, percent in percents.items():
            stop = start + held_out(len(members), percent)
            chosen.update({row.id: split for row in members[start:stop]})
            start = stop
    splits: dict[str, list[Row]] = {split: [] for split in ("train", *percents)}
    for row in rows:
        splits[chosen.get(row.id, "train")].append(row)
    return splits


def _draw(row: Row, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{row.sha256}".encode()).hexdigest()


def _refuse_small(rows: Sequence[Row], needed: int, splits: Sequence[str]) -> None:
    counts = Counter(row.label for row in rows)
    small = [f"{label!r} has {n}" for label, n in sorted(counts.items()) if n < needed]
    if small:
        named = ", ".join(small[:5]) + (f" and {len(small) - 5} more classes" if len(small) > 5 else "")
        raise DataError(
            f"classes too small to have an example in each of {', '.join(sorted(splits))}: {named}, and {needed} are "
            "needed",
            "add examples, leave these classes out, or give the splits yourself as train, validation and test",
        )
