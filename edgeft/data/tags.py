"""Tags of words in IOB2 ("B-" begins an entity, "I-" goes on with it, "O" is none), and other schemes turned into it.

    IOB2          every entity begins with B-
    IOB1          B- only where an entity follows another of its type (CoNLL-2003 as published); else I- begins it
    BIOES, BILOU  the last word of an entity has E- or L-, an entity of one word S- or U-
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

NONE = "O"
IOB1, IOB2 = "IOB1", "IOB2"
# Prefix of an entity's last word -> the scheme; of a single word likewise.
_LAST, _SINGLE = {"E": "BIOES", "L": "BILOU"}, {"S": "BIOES", "U": "BILOU"}
PREFIXES = frozenset("BIELSU")
Entity = tuple[str, int, int]


def parts(tag: str) -> tuple[str, str]:
    """ "B-person" -> ("B", "person"); "O" -> ("O", "")."""
    prefix, _, kind = tag.partition("-")
    return prefix, kind


def wrong(tag: str) -> str:
    """What is wrong with a tag as it stands in a file; "" when nothing is."""
    prefix, kind = parts(tag)
    if tag == NONE or (prefix in PREFIXES and kind):
        return ""
    if "-" in tag and prefix in PREFIXES:
        return f"the tag {tag!r} has no type behind its prefix"
    return f"the tag {tag!r} has no prefix such as B- or I-"


def scheme_of(sentences: Iterable[Sequence[str]]) -> str | tuple[str, str]:
    """The scheme of tags that `wrong` found nothing in, or two prefixes that no scheme has together.

    Without E, L, S and U it is IOB1 when an I- begins an entity (nothing, or another type, before it) and every B-
    follows an entity of its own type; with tags that fit both, or none of the two, IOB2.
    """
    found: Counter[str] = Counter()
    begins_inside = begins_apart = False
    for tags in sentences:
        before = NONE
        for tag in tags:
            (prefix, kind), (_, kind_before) = parts(tag), parts(before)
            found[prefix] += 1
            begins_inside = begins_inside or (prefix == "I" and kind != kind_before)
            begins_apart = begins_apart or (prefix == "B" and kind != kind_before)
            before = tag
    marks = {**_LAST, **_SINGLE}
    named = {marks[prefix]: prefix for prefix in sorted(found) if prefix in marks}
    if len(named) > 1:
        first, second = named.values()
        return first, second
    if named:
        return next(iter(named))
    return IOB1 if begins_inside and not begins_apart else IOB2


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The same entities in IOB2. A tag that goes on with nothing, or with another type, begins an entity."""
    found = []
    inside = ""
    for tag in tags:
        prefix, kind = parts(tag)
        if prefix == "O":
            found.append(NONE)
        else:
            found.append(f"{'I' if prefix in 'IEL' and kind == inside else 'B'}-{kind}")
        inside = "" if prefix in "OESLU" else kind
    return found


def entities(tags: Sequence[str]) -> list[Entity]:
    """(type, first word, last word + 1) of every entity in IOB2 tags; an I- that goes on with nothing begins one.

    So counts the package seqeval in its default mode, and conlleval before it.
    """
    return list(_entities(tags))


def _entities(tags: Sequence[str]) -> Iterator[Entity]:
    inside, start = "", 0
    for at, tag in enumerate([*tags, NONE]):
        prefix, kind = parts(tag)
        if inside and (prefix != "I" or kind != inside):
            yield inside, start, at
            inside = ""
        if prefix != "O" and not inside:
            inside, start = kind, at


def types_of(labels: Iterable[str]) -> list[str]:
    """Entity types among tag names, sorted."""
    return sorted({parts(label)[1] for label in labels} - {""})


def names_for(types: Iterable[str]) -> tuple[str, ...]:
    """Tag names of a model for these types: O, then B- and I- of each, whether or not the data has them all."""
    return (NONE, *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI"))


def count_types(sentences: Iterable[Sequence[str]]) -> Mapping[str, int]:
    """Type -> number of entities."""
    return Counter(kind for tags in sentences for kind, _, _ in entities(tags))
