"""What a person should know of the examples before anything is trained on them: copies across splits, one content under
two labels, classes of very different size. Lines to read, and the same as figures for tuned.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeft.data.alike import nearest, text_key
from edgeft.data.found import Row
from edgeft.data.targets import TARGETS, TargetKind

Splits = Mapping[str, Sequence[Row]]
# Largest over smallest class of train from which the loss is worth weighing.
_UNEVEN = 10
# Contents with a text.
_WRITTEN = {"text", "words"}
_HELD_OUT = (("test", "train"), ("test", "validation"), ("validation", "train"))


def check(splits: Splits, content: str, kind: TargetKind = TARGETS["label"]) -> tuple[list[str], dict[str, Any]]:
    """Lines, and figures: "copies" across splits, "labels" that contradict each other, "balance" of train."""
    copied, copies = _copies(splits, content)
    contradicted, labels = _torn(splits, content, kind)
    uneven, balance = _balance(splits, kind)
    return [*copied, *contradicted, *uneven], {"copies": copies, "labels": labels, "balance": balance}


def _copies(splits: Splits, content: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Exact and near copies of training examples among those that are to judge the model."""
    lines, facts = [], []
    for split, other in _HELD_OUT:
        rows, others = splits[split], splits[other]
        known = {row.sha256 for row in others}
        exact = [row for row in rows if row.sha256 in known]
        near = _NEAR[content]([row for row in rows if row.sha256 not in known], others)
        if exact:
            lines.append(f"{len(exact)} of the {len(rows)} {split} examples are exact copies of {other} examples")
        if near:
            first, its = near[0]
            lines.append(
                f"{len(near)} of the {len(rows)} {split} examples are nearly the same as a {other} example; the first, "
                f"{first.id}, as {its.id}"
            )
        if exact or near:
            pairs = [[row.id, its.id] for row, its in near]
            facts.append({"split": split, "of": other, "exact": [row.id for row in exact], "near": pairs})
    return lines, facts


def _near_texts(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    known = {text_key(str(row.content)): row for row in reversed(others)}
    known.pop("", None)
    keys = [text_key(str(row.content)) for row in rows]
    return [(row, known[key]) for row, key in zip(rows, keys, strict=True) if key in known]


def _near_images(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Nothing when images were not decoded, and so have no key."""
    ours, theirs = [row for row in rows if row.look], [row for row in others if row.look]
    found = nearest([row.look for row in ours], [row.look for row in theirs])
    return [(row, theirs[at]) for row, at in zip(ours, found, strict=True) if at is not None]


def _none_near(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Of sounds only exact copies are found: nothing here says how near two waveforms may be by chance."""
    return []


_NEAR: Mapping[str, Callable[[Sequence[Row], Sequence[Row]], list[tuple[Row, Row]]]] = {
    "text": _near_texts, "words": _near_texts, "image": _near_images, "audio": _none_near,
}  # fmt: skip


def _torn(splits: Splits, content: str, kind: TargetKind) -> tuple[list[str], dict[str, Any]]:
    """One content under two labels: one of the two is wrong."""
    rows = [row for split in splits.values() for row in split]
    exact = _two_labels(rows, lambda row: row.sha256)
    lines = []
    if exact:
        lines.append(f"{len(exact)} examples have a copy with {kind.another}; {kind.contradiction(exact)}")
    facts = {"exact": [row.id for row in exact]}
    if content in _WRITTEN:
        copies = {row.id for row in exact}
        near = [row for row in _two_labels(rows, lambda row: text_key(str(row.content))) if row.id not in copies]
        facts["near"] = [row.id for row in near]
        if near:
            lines.append(f"{len(near)} more are nearly the same as a text with {kind.another}; the first, {near[0].id}")
    return lines, facts


def _two_labels(rows: Sequence[Row], key: Callable[[Row], str]) -> list[Row]:
    labels: dict[str, set[Any]] = defaultdict(set)
    for row in rows:
        labels[key(row)].add(row.label)
    return [row for row in rows if key(row) and len(labels[key(row)]) > 1]


def _balance(splits: Splits, kind: TargetKind) -> tuple[list[str], dict[str, Any]]:
    counts = list(kind.balance(splits["train"]).items())
    (largest, most), (smallest, least) = counts[0], counts[-1]
    share = most / sum(n for _, n in counts)
    facts = {"largest": largest, "smallest": smallest, "most": most, "least": least, "largest_share": round(share, 4)}
    if most < _UNEVEN * least:
        return [], facts
    return [kind.uneven(counts[0], counts[-1], share)], facts
