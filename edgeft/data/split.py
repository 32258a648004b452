"""Held-out splits that keep every class's share, the same for the same seed on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgeft.data.found import Row
from edgeft.errors import DataError

HELD_OUT_PERCENT = 10


def held_out(n: int, percent: int) -> int:
    """How many of a class's n examples go to a split of `percent`: rounded half up, and at least one."""
    return max(1, (n * percent + 50) // 100)


def stratified(
    rows: Sequence[Row], percents: Mapping[str, int], seed: int, strata: Mapping[str, str] | None = None
) -> dict[str, list[Row]]:
    """Take `percents` ("test" -> 10) of each class; the rest is "train". Each split keeps the order of `rows`.

    Who is taken depends on the seed and on each example's content and id, not on the order of `rows`: rows of a
    class are sorted by SHA-256("seed:sha256 of the content") and then id, and the first ones are taken, split by
    split. Copies of one content so stay side by side and mostly in one split.

    strata   row id -> class; its label when None
    Raises DataError naming the classes with too few examples to have one in every split.
    """
    of = _strata(rows, strata)
    _refuse_small(of.values(), len(percents) + 1, [*percents, "train"])
    classes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        classes[of[row.id]].append(row)
    chosen: dict[str, str] = {}
    for members in classes.values():
        members.sort(key=lambda row: (_draw(row.sha256, seed), row.id))
        start = 0
        for split, percent in percents.items():
            stop = start + held_out(len(members), percent)
            chosen.update({row.id: split for row in members[start:stop]})
            start = stop
    splits: dict[str, list[Row]] = {split: [] for split in ("train", *percents)}
    for row in rows:
        splits[chosen.get(row.id, "train")].append(row)
    return splits


def grouped(
    rows: Sequence[Row], percents: Mapping[str, int], seed: int, strata: Mapping[str, str] | None = None
) -> dict[str, list[Row]]:
    """Like `stratified`, with all rows of a group in one split, and shares as near as whole groups come.

    First every held-out split gets one small group of each class, the classes of fewest groups first. The others
    follow, the largest first (equal ones by SHA-256("seed:group")), each to where the sum over classes of
    (have - wanted)^2 / wanted becomes smallest.

    strata   row id -> class; its label when None
    Raises DataError when a split is left without a class.
    """
    of = _strata(rows, strata)
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    counts = {group: Counter(of[row.id] for row in members) for group, members in groups.items()}
    shares = {"train": 100 - sum(percents.values()), **percents}
    whole = Counter(of.values())
    wanted = {split: {label: n * share / 100 for label, n in whole.items()} for split, share in shares.items()}
    have: dict[str, Counter[str]] = {split: Counter() for split in shares}
    place: dict[str, str] = {}

    def put(group: str, split: str) -> None:
        place[group] = split
        have[split].update(counts[group])

    def worse(group: str, split: str) -> float:
        """What the sum would grow by."""
        over = {label: have[split][label] - wanted[split][label] for label in counts[group]}
        return sum((2 * over[label] * n + n * n) / wanted[split][label] for label, n in counts[group].items())

    order = sorted(groups, key=lambda group: (-len(groups[group]), _draw(group, seed)))
    held = Counter(label for found in counts.values() for label in found)
    for label in sorted(whole, key=lambda label: (held[label], label)):
        for split in (split for split in percents if not have[split][label]):
            free = [group for group in reversed(order) if group not in place and label in counts[group]]
            if len(free) > (0 if have["train"][label] else 1):
                put(free[0], split)
    for group in (group for group in order if group not in place):
        put(group, min(shares, key=lambda split: worse(group, split)))
    _refuse_lacking(have, held)
    return {split: [row for row in rows if place[row.group] == split] for split in shares}


def _refuse_lacking(have: Mapping[str, Counter[str]], held: Mapping[str, int]) -> None:
    for label in sorted(held, key=lambda label: (held[label], label)):
        if not all(found[label] for found in have.values()):
            raise DataError(
                f"the examples of {label!r} are in {held[label]} groups, and no way was found to have some in each of "
                f"{', '.join(sorted(have))}",
                "add examples of other groups, give the splits yourself, or leave --group-column out",
            )


def _draw(text: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _strata(rows: Sequence[Row], given: Mapping[str, str] | None) -> Mapping[str, str]:
    return {row.id: row.label for row in rows} if given is None else given


def _refuse_small(classes: Iterable[str], needed: int, splits: Sequence[str]) -> None:
    counts = Counter(classes)
    small = [f"{label!r} has {n}" for label, n in sorted(counts.items()) if n < needed]
    if small:
        named = ", ".join(small[:5]) + (f" and {len(small) - 5} more classes" if len(small) > 5 else "")
        raise DataError(
            f"classes too small to have an example in each of {', '.join(sorted(splits))}: {named}, and {needed} are "
            "needed",
            "add examples, leave these classes out, or give the splits yourself as train, validation and test",
        )
