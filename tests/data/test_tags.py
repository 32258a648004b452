from __future__ import annotations

import pytest

from edgeft.data import tags

# One sentence, "U.N. official Ekeus heads for New York New York" with two places side by side, in every scheme.
IOB2 = "B-org O B-per O O B-loc I-loc B-loc I-loc".split()
SAME = {
    "IOB2": IOB2,
    "IOB1": "I-org O I-per O O I-loc I-loc B-loc I-loc".split(),
    "BIOES": "S-org O S-per O O B-loc E-loc B-loc E-loc".split(),
    "BILOU": "U-org O U-per O O B-loc L-loc B-loc L-loc".split(),
}


@pytest.mark.parametrize("scheme", SAME)
def test_every_scheme_is_known_by_its_tags_and_becomes_iob2(scheme: str) -> None:
    assert tags.scheme_of([["O"], SAME[scheme]]) == scheme
    assert tags.to_iob2(SAME[scheme]) == IOB2


def test_iob2_with_a_beginning_left_out_stays_iob2_and_is_repaired() -> None:
    given = ["B-a", "O", "I-a", "I-a", "I-b"]
    assert tags.scheme_of([given]) == "IOB2"
    assert tags.to_iob2(given) == ["B-a", "O", "B-a", "I-a", "B-b"]


def test_an_entity_in_bioes_ends_where_it_says() -> None:
    assert tags.to_iob2(["B-a", "E-a", "E-a", "S-a", "I-a"]) == ["B-a", "I-a", "B-a", "B-a", "B-a"]


def test_prefixes_of_two_schemes_are_no_scheme() -> None:
    assert tags.scheme_of([["B-a", "E-a"], ["U-a"]]) == ("E", "U")


@pytest.mark.parametrize(
    ("tag", "fault"),
    [("person", "no prefix"), ("B-", "no type"), ("X-person", "no prefix"), ("o", "no prefix"), ("-a", "no prefix")],
)
def test_what_is_no_tag(tag: str, fault: str) -> None:
    assert fault in tags.wrong(tag)


def test_a_type_may_have_hyphens() -> None:
    assert tags.wrong("B-creative-work") == "" and tags.parts("I-creative-work") == ("I", "creative-work")


def test_entities_of_loose_tags() -> None:
    # an I- begins one where nothing, or another type, stands before it; the last word counts
    assert tags.entities(["I-a", "I-a", "I-b", "O", "B-b", "B-b"]) == [
        ("a", 0, 2), ("b", 2, 3), ("b", 4, 5), ("b", 5, 6),
    ]  # fmt: skip
    assert tags.entities([]) == [] and tags.entities(["O"]) == []


def test_names_have_both_tags_of_every_type() -> None:
    assert tags.names_for({"person", "art"}) == ("O", "B-art", "I-art", "B-person", "I-person")
