from __future__ import annotations

import pytest

from edgeft import policies
from edgeft.errors import UsageError


def test_names_stand_in_the_order_of_the_table_with_their_strengths() -> None:
    assert policies.read("mixup:0.40, crop") == "crop,mixup:0.4"
    assert policies.read(["flip", "randaugment"]) == "flip,randaugment"
    assert policies.strengths("flip,randaugment") == {"flip": 0.0, "randaugment": 9.0}
    assert policies.strengths(policies.read("none")) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("randaugmnt", "did you mean 'randaugment'"),
        ("color", "did you mean 'colour'"),
        ("nune", "did you mean 'none'"),
        ("none,flip", "none stands alone"),
        ("flip,flip", "flip is named twice"),
        ("crop:2", "crop has no strength"),
        ("randaugment:11", "randaugment:N, its magnitude N above 0 and at most 10"),
        ("mixup:-1", "mixup:N, its alpha N above 0$"),
        ("mixup:x", "above 0"),
        ("mixup:inf", "above 0"),
        ("", "choose from"),
        (3, "expected none, or names"),
    ],
)
def test_what_is_wrong_is_said(given: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        policies.read(given)


def test_a_policy_for_other_examples_is_refused() -> None:
    policies.refuse_foreign("word-swap", "text")
    policies.refuse_foreign(None, "text")
    with pytest.raises(UsageError, match="--augment mixup is for images, and the examples are texts") as caught:
        policies.refuse_foreign("mixup", "text")
    assert "word-dropout, word-swap" in caught.value.next_step


def test_the_record_names_units() -> None:
    assert policies.record("crop,mixup:0.4") == [{"name": "crop"}, {"name": "mixup", "alpha": 0.4}]
    assert policies.record("none") == []
