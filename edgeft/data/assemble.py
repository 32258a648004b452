"""From what a reader found to a Dataset: missing splits are made, labels numbered, the whole checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from edgeft.data.checks import check
from edgeft.data.dataset import Dataset, Example
from edgeft.data.found import ALL, SPLITS, Found, Row
from edgeft.data.split import HELD_OUT_PERCENT, grouped, stratified
from edgeft.data.targets import TARGETS, TargetKind
from edgeft.errors import DataError

Splits = Mapping[str, Sequence[Row]]
# Split rule of data that came with all three splits.
AS_GIVEN = "as given"


def assemble(found: Found, source: str, seed: int) -> Dataset:
    """Raises DataError: no examples, no training split, one class, an unseen label, a class too small to split."""
    _refuse_gaps(found, source)
    kind = TARGETS[found.target]
    names = kind.names(found.splits, source)
    splits, rule, notices = _complete(found.splits, seed, source, kind)
    ids = {name: index for index, name in enumerate(names)}
    examples = {
        split: tuple(
            Example(row.id, row.content, kind.number(row.label, ids), row.sha256, row.group, slice=row.slice)
            for row in splits[split]
        )
        for split in SPLITS
    }
    counts = ", ".join(f"{split} {len(splits[split])}" for split in SPLITS)
    total = sum(len(rows) for rows in splits.values())
    summary = f"{total} {_MANY[found.content]} of {len(kind.classes(names))} {kind.many}: {counts}"
    said, facts = check(splits, found.content, kind)
    lines = (summary, *found.notices, *notices, *kind.notices(names, splits), *said)
    checks = {**facts, **found.facts}
    return Dataset(found.content, names, examples, source, fingerprint(splits), rule, lines, checks, found.target)


_MANY = {"image": "images", "text": "texts", "words": "sentences", "audio": "sounds"}


def _refuse_gaps(found: Found, source: str) -> None:
    empty = [split for split, rows in found.splits.items() if not rows]
    if empty or not found.splits:
        raise DataError(f"{source} holds no examples{' in ' + ', '.join(empty) if empty else ''}", "add some")
    if "train" not in found.splits and ALL not in found.splits:
        raise DataError(
            f"{source} has {' and '.join(sorted(found.splits))} and no training split", "add one named train"
        )
    ids: set[str] = set()
    for row in (row for rows in found.splits.values() for row in rows):
        if row.id in ids:
            raise DataError(f"two examples of {source} are both called {row.id}", "rename one of them")
        ids.add(row.id)


def _complete(given: Splits, seed: int, source: str, kind: TargetKind) -> tuple[Splits, str, list[str]]:
    """All three splits, the rule for the record, and what should be said about it."""
    by_group = any(row.group for rows in given.values() for row in rows)
    if by_group:
        _refuse_shared(given, source)
    missing = [split for split in ("test", "validation") if split not in given]
    if not missing:
        return given, AS_GIVEN, []
    whole = given.get(ALL, given.get("train", ()))
    percents = dict.fromkeys(missing, HELD_OUT_PERCENT)
    strata = kind.strata(whole)
    made = grouped(whole, percents, seed, strata) if by_group else stratified(whole, percents, seed, strata)
    origin = "" if ALL in given else " of train"
    how = "in whole groups, near " if by_group else ""
    rule = f"{how}{HELD_OUT_PERCENT} % of each {kind.one}{origin} for {' and for '.join(missing)}, seed {seed}"
    kept = {split: rows for split, rows in given.items() if split not in (ALL, "train")}
    if kept:
        rule = f"{' and '.join(sorted(kept))} as given; {rule}"
    lacks = "splits" if ALL in given else " and no ".join(f"{split} split" for split in sorted(missing))
    return {**made, **kept}, rule, [f"no {lacks} given: {rule}"]


def _refuse_shared(given: Splits, source: str) -> None:
    """A group whose examples are in two of the given splits would be tested on what it was trained on."""
    places: dict[str, str] = {}
    for split, rows in given.items():
        for row in rows:
            if places.setdefault(row.group, split) != split:
                raise DataError(
                    f"the group {row.group!r} of {source} is in {places[row.group]} and in {split}",
                    "move its examples into one of them, or leave --group-column out",
                )


def fingerprint(splits: Splits) -> str:
    """SHA-256 over one JSON line [split, id, label, sha256] an example, splits in their order, ids sorted."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for row in sorted(splits[split], key=lambda row: row.id):
            line = json.dumps([split, row.id, row.label, row.sha256], ensure_ascii=False)
            digest.update(line.encode("utf-8") + b"\n")
    return digest.hexdigest()
