"""Sentences that are too long for the model, as windows that overlap: every word is answered in one of them.

A word is asked for in the window in which it has most context: the larger of min(tokens before it, tokens behind it),
the earlier window among equals. What lies around its window is never seen, so words near a border of one window are
asked for in the next, where they stand further inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Protocol

from edgeft.data.dataset import Example
from edgeft.data.words import Words


class Sized(Protocol):
    """room     tokens a window may have, special ones left out
    stride   tokens that two windows share, about"""

    room: int
    stride: int

    def shortened(self, words: Sequence[Words]) -> tuple[list[Words], list[list[int]]]:
        """Words that each fit `room`, and how many tokens each of them has."""
        ...


def in_windows(examples: Sequence[Example], encoder: Sized) -> list[Example]:
    """Every example as it is, or in windows: called id#1, id#2 and so on, with `whole` the id of the sentence."""
    whole, lengths = encoder.shortened([example.content for example in examples if isinstance(example.content, Words)])
    found = []
    for example, words, tokens in zip(examples, whole, lengths, strict=True):
        if sum(tokens) <= encoder.room:
            found.append(replace(example, content=words))
        else:
            found += _parts(example, words, windows(tokens, encoder.room, encoder.stride))
    return found


def _parts(example: Example, sentence: Words, cut: Sequence[tuple[range, range]]) -> list[Example]:
    return [
        replace(
            example,
            id=f"{example.id}#{number}",
            whole=example.id,
            content=Words(
                tuple(sentence.words[i] for i in window), asked.start - window.start, asked.stop - window.start
            ),
            label=tuple(example.label[i] for i in asked),
        )
        for number, (window, asked) in enumerate(cut, 1)
        if len(asked)
    ]


def windows(tokens: Sequence[int], room: int, stride: int) -> list[tuple[range, range]]:
    """(words of the window, words that are asked for in it), for words with so many tokens each (1 to room).

    Each window takes as many words as fit; the next begins about `stride` tokens before its end, and the last one as
    early as it fits.
    """
    ends = [0, *accumulate(tokens)]
    whole = list(_spans(ends, room, stride))
    owner = [max(range(len(whole)), key=lambda at: _context(ends, whole[at], word)) for word in range(len(tokens))]
    return [
        (span, range(owner.index(at), len(owner) - owner[::-1].index(at)) if at in owner else range(0))
        for at, span in enumerate(whole)
    ]


def _spans(ends: Sequence[int], room: int, stride: int) -> list[range]:
    n = len(ends) - 1
    found: list[range] = []
    start = 0
    while not found or found[-1].stop < n:
        stop = max(word for word in range(start + 1, n + 1) if ends[word] - ends[start] <= room)
        if stop == n:
            start = min(word for word in range(n) if ends[n] - ends[word] <= room)
        found.append(range(start, stop))
        # At least one new word fits into the next window, whatever the stride.
        ahead = ends[min(stop + 1, n)]
        back = [w for w in range(start + 1, stop + 1) if ends[stop] - ends[w] <= stride and ahead - ends[w] <= room]
        start = min(back, default=stop)
    return found


def _context(ends: Sequence[int], span: range, word: int) -> int:
    """Tokens between a word and the nearer border of a window; -1 outside of it."""
    if word not in span:
        return -1
    return min(ends[word] - ends[span.start], ends[span.stop] - ends[word + 1])
