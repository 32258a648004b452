from __future__ import annotations

from collections import Counter

import numpy as np

from edgeft.tuning.words import Reword

TEXT = "one two  three\nfour five six seven eight nine ten"


def views(reword: Reword, text: str = TEXT, n: int = 400) -> list[str]:
    return [reword(text, np.random.default_rng(seed)) for seed in range(n)]


def test_nothing_asked_for_leaves_the_text_as_it_is() -> None:
    assert views(Reword(), n=3) == [TEXT] * 3


def test_a_tenth_of_the_words_goes_and_the_order_stays() -> None:
    kept = [view.split() for view in views(Reword(dropout=0.1))]
    # 4,000 words, each left out with probability 0.1: three standard errors are 57
    assert abs(sum(map(len, kept)) - 3600) < 57
    assert all(words == [word for word in TEXT.split() if word in words] for words in kept)


def test_blanks_between_words_that_stay_are_the_texts_own() -> None:
    for view in views(Reword(dropout=0.3)):
        assert view == view.strip() and not view.startswith("\n")
        assert "two  three\nfour" in view or not {"two", "three", "four"} <= set(view.split())


def test_a_text_keeps_at_least_one_word() -> None:
    assert set(views(Reword(dropout=0.9), "yes no")) == {"yes", "no", "yes no"}
    assert set(views(Reword(dropout=0.9), "  alone ")) == {"  alone "}
    assert views(Reword(dropout=0.9, swaps=1.0), "", n=2) == ["", ""]


def test_neighbours_change_places_and_none_is_lost() -> None:
    moved = [view.split() for view in views(Reword(swaps=0.1))]
    assert all(Counter(words) == Counter(TEXT.split()) for words in moved)
    swapped = sum(words != TEXT.split() for words in moved)
    # nine places, each with probability 0.1: 1 - 0.9^9 = 0.613 of 400, three standard errors are 29
    assert abs(swapped - 245) < 30
    assert views(Reword(swaps=1.0), "a b", 1) == ["b a"]
