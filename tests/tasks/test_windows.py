from __future__ import annotations

import random

from edgeft.data.dataset import Example
from edgeft.data.words import Words
from edgeft.tasks.windows import in_windows, windows


class Letters:
    """One token a letter."""

    room, stride = 6, 2

    def shortened(self, sentences):
        return list(sentences), [[len(word) for word in sentence.words] for sentence in sentences]


def test_words_belong_where_they_have_most_context() -> None:
    # Ten words of one token, four to a window, two shared. Word 2 has 1 token behind it in the first window and none
    # before it in the second; word 3 has none and 1.
    assert windows([1] * 10, 4, 2) == [
        (range(0, 4), range(0, 3)), (range(2, 6), range(3, 5)), (range(4, 8), range(5, 7)),
        (range(6, 10), range(7, 10)),
    ]  # fmt: skip


def test_the_last_window_begins_as_early_as_it_fits() -> None:
    assert [span for span, _ in windows([1] * 5, 4, 1)] == [range(0, 4), range(1, 5)]


def test_words_as_long_as_a_window_share_nothing() -> None:
    assert windows([4, 4, 4], 4, 2) == [(range(i, i + 1), range(i, i + 1)) for i in range(3)]


def test_every_word_is_asked_for_once_and_every_window_fits() -> None:
    rng = random.Random(0)
    for _ in range(300):
        room = rng.randint(3, 12)
        tokens = [rng.randint(1, min(room, 5)) for _ in range(rng.randint(1, 60))]
        found = windows(tokens, room, rng.randint(0, room))
        assert [word for _, asked in found for word in asked] == list(range(len(tokens)))
        assert all(sum(tokens[word] for word in span) <= room for span, _ in found)
        assert all(set(asked) <= set(span) for span, asked in found)


def test_parts_say_what_they_are_parts_of() -> None:
    sentence = Example("s", Words(("ab", "cd", "e", "fgh", "i")), (0, 1, 2, 0, 1))
    short = Example("t", Words(("ab",)), (0,))
    found = in_windows([sentence, short], Letters())
    assert [(one.id, one.whole) for one in found] == [("s#1", "s"), ("s#2", "s"), ("t", "")]
    first, second, _ = found
    # "e" has no context behind it in the first and none before it in the second: the earlier one is asked
    assert first.content == Words(("ab", "cd", "e"), 0, 3) and first.label == (0, 1, 2)
    assert second.content == Words(("e", "fgh", "i"), 1, 3) and second.label == (0, 1)
