"""Vary training texts: leave words out, and let neighbours change places (arXiv 1901.11196, "EDA").

A word is what stands between blanks. Texts are varied as they stand in the data, before the tokenizer, so that all
else is as on the device. A text without blanks (Chinese, say) stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_BLANKS = re.compile(r"(\s+)")


@dataclass(frozen=True)
class Reword:
    """Takes a text and returns it with words left out and neighbours swapped, never without any word.

    dropout   probability of each word to be left out
    swaps     share of the words that change places with the next one, on average
    """

    dropout: float = 0.0
    swaps: float = 0.0

    def __call__(self, text: str, rng: np.random.Generator) -> str:
        parts = _BLANKS.split(text)  # words and blanks by turns, words first
        words, blanks = parts[::2], parts[1::2]
        if len([word for word in words if word]) < 2:
            return text
        return _joined(*self._shortened(self._swapped(words, rng), blanks, rng))

    def _swapped(self, words: list[str], rng: np.random.Generator) -> list[str]:
        words = list(words)
        for place in np.flatnonzero(rng.random(len(words) - 1) < self.swaps):
            words[place], words[place + 1] = words[place + 1], words[place]
        return words

    def _shortened(
        self, words: list[str], blanks: list[str], rng: np.random.Generator
    ) -> tuple[list[str], list[str]]:
        kept = np.flatnonzero(rng.random(len(words)) >= self.dropout)
        if not any(words[place] for place in kept):
            filled = [place for place, word in enumerate(words) if word]
            kept = np.array([filled[rng.integers(len(filled))]])
        # A word goes with the blanks behind it.
        return [words[place] for place in kept], [blanks[place] for place in kept if place < len(blanks)]


def _joined(words: list[str], blanks: list[str]) -> str:
    """Words with their blanks between them; none behind the last."""
    return "".join(part for pair in zip(words, [*blanks[: len(words) - 1], ""], strict=True) for part in pair)
