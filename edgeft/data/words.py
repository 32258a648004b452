"""Words of a sentence, split before any tokenizer sees them: what tasks that label every word take."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edgeft.files import sha256_text


@dataclass(frozen=True)
class Words:
    """A sentence, or a window of one.

    words         in their order, none of them empty
    first, stop   the answers to words[first:stop] count; the others are there for context. `stop` None: to the end
    """

    words: tuple[str, ...]
    first: int = 0
    stop: int | None = None

    @property
    def asked(self) -> range:
        """Positions of the words whose answers count."""
        return range(self.first, len(self.words) if self.stop is None else self.stop)

    @property
    def sha256(self) -> str:
        """Of the words as a JSON list: where one word ends and the next begins matters."""
        return sha256_text(json.dumps(self.words, ensure_ascii=False))

    def __str__(self) -> str:
        return " ".join(self.words)
