"""From label names as found to ids without gaps, and what a person should know about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from edgeft.data.found import ALL, Row
from edgeft.errors import DataError


def label_names(splits: Mapping[str, Sequence[Row]], where: str) -> tuple[str, ...]:
    """Names in the order of their ids: by number when all are whole numbers (2 before 10), else as text.

    Raises DataError for a single class and for a label that training never sees.
    """
    trained = {row.label for row in splits.get("train", splits.get(ALL, ()))}
    for split, rows in splits.items():
        unseen = Counter(row.label for row in rows if row.label not in trained)
        for label, n in sorted(unseen.items()):
            raise DataError(
                f"the label {label!r} is in the {split} split of {where} ({n} examples) and not in train",
                f"add training examples of {label!r} or remove it from {split}",
            )
    if len(trained) < 2:
        raise DataError(
            f"{where} has only one class, {next(iter(trained), '')!r}, and there is nothing to tell apart",
            "add examples of at least one other class",
        )
    return tuple(sorted(trained, key=_number if all(map(_is_whole, trained)) else _text))


def _is_whole(label: str) -> bool:
    return label.removeprefix("-").isascii() and label.removeprefix("-").isdigit()


def _number(label: str) -> tuple[int, str]:
    return int(label), label


def _text(label: str) -> tuple[int, str]:
    return 0, label


def label_notices(names: Sequence[str], splits: Mapping[str, Sequence[Row]]) -> list[str]:
    """Labels that look like one class written twice, a label for "none", and classes a split lacks."""
    notices = [
        *_alike(names, str.casefold, "in capitals"),
        *_alike(names, _as_number, "in how the number is written"),
    ]
    if "-1" in names:
        notices.append('the label "-1", which often means "no label", is taken for a class')
    for split, rows in splits.items():
        missing = sorted(set(names) - {row.label for row in rows})
        if missing:
            notices.append(f"the {split} split has no example of {some(missing)}")
    return notices


def _alike(names: Sequence[str], key: Callable[[str], str], how: str) -> list[str]:
    groups = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    alike = [" and ".join(repr(name) for name in group) for group in groups.values() if len(group) > 1]
    return [f"labels differ only {how} and stay different classes: {some(alike)}"] if alike else []


def _as_number(label: str) -> str:
    try:
        return repr(float(label))
    except ValueError:
        return f"text {label}"


def some(items: Sequence[str]) -> str:
    """The first few, and how many more."""
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
