"""What can be right for an example. A kind is one class here and one line in the table; a reader says which it found.

label   one name for the example. In a Row: text; in an Example: its index
tags    one tag (IOB2) for each word. In a Row: a tuple of text; in an Example: a tuple of indices
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from edgeft.data import tags
from edgeft.data.found import ALL, SPLITS, Row
from edgeft.data.labels import label_names, label_notices, some
from edgeft.data.words import Words
from edgeft.errors import DataError

Splits = Mapping[str, Sequence[Row]]


class TargetKind(Protocol):
    """one, many   what its classes are called, for a person
    another       as in "a copy with another label"
    """

    one: str
    many: str
    another: str

    def names(self, splits: Splits, source: str) -> tuple[str, ...]:
        """The model's labels in the order of their ids. Raises DataError for data that nothing can be learnt from."""
        ...

    def number(self, target: Any, ids: Mapping[str, int]) -> Any:
        """A row's target by ids. Raises KeyError for a name that is none of the model's."""
        ...

    def spell(self, target: Any, names: Sequence[str]) -> Any:
        """The inverse, as JSON holds it."""
        ...

    def classes(self, names: Sequence[str]) -> Sequence[str]:
        """What a person counts: of labels they themselves, of tags the types of entities."""
        ...

    def count(self, targets: Iterable[Any], names: Sequence[str]) -> Mapping[str, int]:
        """Class -> how many, of targets by ids."""
        ...

    def strata(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Row id -> the class by which splits are stratified."""
        ...

    def notices(self, names: Sequence[str], splits: Splits) -> list[str]: ...

    def contradiction(self, rows: Sequence[Row]) -> str:
        """What the first of `rows`, which have copies with other targets, is there and here."""
        ...

    def balance(self, rows: Sequence[Row]) -> Mapping[str, int]:
        """Class -> how many in training rows, the most frequent first."""
        ...

    def uneven(self, largest: tuple[str, int], smallest: tuple[str, int], share: float) -> str:
        """What a person should know when one class has many times the examples of another; `share` of all."""
        ...


class Label:
    one, many, another = "class", "classes", "another label"

    def names(self, splits: Splits, source: str) -> tuple[str, ...]:
        return label_names(splits, source)

    def number(self, target: Any, ids: Mapping[str, int]) -> int:
        return ids[target]

    def spell(self, target: Any, names: Sequence[str]) -> str:
        return str(names[target])

    def classes(self, names: Sequence[str]) -> Sequence[str]:
        return names

    def count(self, targets: Iterable[Any], names: Sequence[str]) -> Mapping[str, int]:
        found = Counter(targets)
        return {name: found[index] for index, name in enumerate(names)}

    def strata(self, rows: Sequence[Row]) -> Mapping[str, str]:
        return {row.id: row.label for row in rows}

    def notices(self, names: Sequence[str], splits: Splits) -> list[str]:
        return label_notices(names, splits)

    def balance(self, rows: Sequence[Row]) -> Mapping[str, int]:
        return dict(Counter(row.label for row in rows).most_common())

    def contradiction(self, rows: Sequence[Row]) -> str:
        both = sorted({row.label for row in rows if row.sha256 == rows[0].sha256})
        return f"the first, {rows[0].id}, is {' and '.join(repr(label) for label in both)}"

    def uneven(self, largest: tuple[str, int], smallest: tuple[str, int], share: float) -> str:
        return (
            f"train has {largest[1]} examples of {largest[0]!r} and {smallest[1]} of {smallest[0]!r}: always answering "
            f"{largest[0]!r} would be right in {share:.1%} of them, so look at macro-F1; --class-weights balanced "
            "makes classes count alike"
        )


class Tags:
    one, many, another = "type", "entity types", "other tags"

    def names(self, splits: Splits, source: str) -> tuple[str, ...]:
        counts = {split: tags.count_types(row.label for row in rows) for split, rows in splits.items()}
        trained = counts.get("train", counts.get(ALL, {}))
        for split, found in counts.items():
            for kind in sorted(set(found) - set(trained)):
                raise DataError(
                    f"the type {kind!r} is in the {split} split of {source} ({found[kind]} entities) and not in train",
                    f"add training sentences with {kind!r} or remove its tags from {split}",
                )
        if not trained:
            raise DataError(f"{source} has no entity: every tag is O", "tag some words, as B-person and I-person")
        return tags.names_for(trained)

    def number(self, target: Any, ids: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(ids[tag] for tag in target)

    def spell(self, target: Any, names: Sequence[str]) -> list[str]:
        return [names[index] for index in target]

    def classes(self, names: Sequence[str]) -> Sequence[str]:
        return tags.types_of(names)

    def count(self, targets: Iterable[Any], names: Sequence[str]) -> Mapping[str, int]:
        found = tags.count_types(self.spell(target, names) for target in targets)
        return {kind: found.get(kind, 0) for kind in self.classes(names)}

    def strata(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """The rarest type in each sentence, so that every split gets some of each; of sentences without one, O, or with
        fewer of them than there are splits, the most frequent type."""
        types = {row.id: set(tags.types_of(row.label)) for row in rows}
        common = Counter(kind for found in types.values() for kind in found)
        rarest = {id_: min(found, key=lambda kind: (common[kind], kind)) for id_, found in types.items() if found}
        few = 0 < len(rows) - len(rarest) < len(SPLITS) and bool(common)
        other = common.most_common(1)[0][0] if few else tags.NONE
        return {row.id: rarest.get(row.id, other) for row in rows}

    def notices(self, names: Sequence[str], splits: Splits) -> list[str]:
        lines = []
        for split, rows in splits.items():
            found = tags.count_types(row.label for row in rows)
            if missing := [kind for kind in self.classes(names) if not found.get(kind)]:
                lines.append(f"the {split} split has no entity of {some(missing)}")
        return lines

    def balance(self, rows: Sequence[Row]) -> Mapping[str, int]:
        found = Counter(tags.count_types(row.label for row in rows))
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def contradiction(self, rows: Sequence[Row]) -> str:
        first = rows[0]
        other = next(row for row in rows if row.sha256 == first.sha256 and row.label != first.label)
        at = next(i for i, (one, two) in enumerate(zip(first.label, other.label, strict=True)) if one != two)
        word = first.content.words[at] if isinstance(first.content, Words) else ""
        return f"the first, {first.id}, has {word!r} as {first.label[at]}, and {other.id} as {other.label[at]}"

    def uneven(self, largest: tuple[str, int], smallest: tuple[str, int], share: float) -> str:
        return (
            f"train has {largest[1]} entities of {largest[0]!r} and {smallest[1]} of {smallest[0]!r}: F1 over all of "
            "them says little of the rare types, so look at the table by type"
        )


TARGETS: Mapping[str, TargetKind] = {"label": Label(), "tags": Tags()}


def target_json(target: Any, names: Sequence[str]) -> dict[str, Any]:
    """{"label": name} or {"tags": [name, …]} of an example's target."""
    return {"label": names[target]} if isinstance(target, int) else {"tags": TARGETS["tags"].spell(target, names)}


def target_from(row: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    """The inverse. Raises KeyError for a row with neither, UnknownLabel for a name that is none of the model's."""
    if "label" not in row:
        given = [str(name) for name in row["tags"]]
        return tuple(_id(name, ids) for name in given)
    return _id(str(row["label"]), ids)


class UnknownLabel(Exception):
    """A label or tag that the model has not."""


def _id(name: str, ids: Mapping[str, int]) -> int:
    if name not in ids:
        raise UnknownLabel(name)
    return ids[name]
