"""The fewest layers for a condition, by hand-made conditions."""

from collections.abc import Sequence

import pytest

from edgeft.quant.fewest import fewest

LETTERS = list("abcdefghij")


@pytest.mark.parametrize("needed", ["", "a", "c", "ac", "bfj", "abcdefghij"])
def test_exactly_what_is_needed_is_found(needed: str) -> None:
    assert fewest(LETTERS, lambda names: set(needed) <= set(names)) == list(needed)


def test_nothing_is_enough() -> None:
    assert fewest(LETTERS, lambda names: False) is None
    assert fewest([], lambda names: True) == []


def test_no_layer_of_the_result_can_be_left_out() -> None:
    worth = dict(zip(LETTERS, [5, 4, 4, 3, 2, 2, 1, 1, 1, 1], strict=True))

    def holds(names: Sequence[str]) -> bool:
        return sum(worth[name] for name in names) >= 12

    found = fewest(LETTERS, holds)
    assert found == ["a", "b", "c"]  # 13; any two are less
    assert not any(holds([name for name in found if name != left]) for left in found)


def test_few_trials_are_needed() -> None:
    tried: list[int] = []
    many = [str(number) for number in range(1000)]
    found = fewest(many, lambda names: tried.append(1) or {"0", "1", "2"} <= set(names))  # type: ignore[func-returns-value]
    assert found == ["0", "1", "2"] and len(tried) <= 12
