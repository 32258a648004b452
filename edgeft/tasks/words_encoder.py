"""Words of sentences to token ids, by the description that travels with the model and its tokenizer.json.

    {"kind": "words", "tokenizer": file, "max_length": n, "stride": n, "unknown": token,
     "inputs": ["input_ids", "attention_mask", "token_type_ids"], "pad_id": n, "pad_type_id": n, "vocabulary": n,
     "padding_side": "right" | "left"   ("right" when absent), "pad_to": n   (absent: the longest sentence given)}

Words come split; each may become several tokens. The answer to a word is the model's output at its first token. A word
of which the tokenizer makes none (a control character) is read as the token `unknown`, so every word has an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.words import Words
from edgeft.errors import FolderError, ModelError
from edgeft.form import SIZE, TEXT, WHOLE, Many, Record
from edgeft.tasks.describe import check, choose
from edgeft.tasks.task import ASKED, TensorSpec
from edgeft.tasks.text_encoder import FIELDS, SIDES, check_ids, load_tokenizer, stack, stack_fields

_FORM = Record(
    {
        "tokenizer": TEXT, "max_length": SIZE, "stride": WHOLE, "unknown": TEXT, "inputs": Many(TEXT, least=1),
        "pad_id": WHOLE, "pad_type_id": WHOLE, "vocabulary": SIZE,
    },
    {"padding_side": TEXT, "pad_to": WHOLE},
)  # fmt: skip


class WordsEncoder:
    """Sentences -> {input name: int64 [n, longest or pad_to], ASKED: bool [n, longest or pad_to]}.

    room, stride   tokens of a window without special ones, and those that two windows share
    truncated      words that had more tokens than a window takes and lost their end, so far; `encoded` sentences so far
    """

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path) -> None:
        how = check(preprocessing, "words", _FORM)
        self._tokenizer = load_tokenizer(Path(folder) / how["tokenizer"])
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._fields = {name: choose(name, FIELDS, "input") for name in how["inputs"]}
        self._vocabulary, self._unknown = int(how["vocabulary"]), str(how["unknown"])
        if self._tokenizer.token_to_id(self._unknown) is None:
            raise FolderError(
                f"{how['tokenizer']} has no token {self._unknown!r}, which the preprocessing names",
                "make the run or bundle again with `edgeft tune` and `edgeft export`",
            )
        self._longest, self._pad_to = int(how["max_length"]), int(how.get("pad_to", 0))
        self._left = choose(how.get("padding_side", "right"), SIDES, "padding_side") == "left"
        self._fill = {
            "input_ids": int(how["pad_id"]), "attention_mask": 0, "token_type_ids": int(how["pad_type_id"]),
        }  # fmt: skip
        check_ids(self._fill["input_ids"], self._fill["input_ids"], self._vocabulary)
        self.room = self._longest - self._tokenizer.num_special_tokens_to_add(False)
        self.stride = int(how["stride"])
        shape = ("batch", self._pad_to or "sequence")
        self.inputs: tuple[TensorSpec, ...] = tuple(TensorSpec(name, "int64", shape) for name in self._fields)
        self.truncated = 0
        self.encoded = 0

    def __call__(self, contents: Sequence[Words]) -> dict[str, NDArray[Any]]:
        """Raises ModelError for a sentence that is longer than the model takes (see edgeft.tasks.windows), and when the
        tokenizer makes an id the model has no embedding for."""
        encodings = self._tokenizer.encode_batch([self._whole(words) for words in contents], is_pretokenized=True)
        self.encoded += len(encodings)
        longest = self._pad_to or max((len(encoding) for encoding in encodings), default=0)
        if any(len(encoding) > self._longest for encoding in encodings):
            raise ModelError(f"a sentence has more than the model's {self._longest} tokens and was not cut in windows")
        arrays = stack_fields(encodings, self._fields, longest, self._fill, self._left, self._vocabulary)
        asked = [_first_tokens(encoding.word_ids, words) for encoding, words in zip(encodings, contents, strict=True)]
        arrays[ASKED] = stack(asked, longest, 0, self._left).astype(bool)
        return arrays

    def shortened(self, sentences: Sequence[Words]) -> tuple[list[Words], list[list[int]]]:
        """The sentences with words that fit into a window, and how many tokens each word has, at least one.

        A word of more tokens than `room` loses its last characters; `truncated` counts such words.
        """
        encodings = self._tokenizer.encode_batch(
            [list(sentence.words) for sentence in sentences], is_pretokenized=True, add_special_tokens=False
        )
        found = []
        for sentence, encoding in zip(sentences, encodings, strict=True):
            lengths = _tokens_each(encoding.word_ids, len(sentence.words))
            found.append(self._fitted(sentence) if max(lengths, default=0) > self.room else (sentence, lengths))
        return [sentence for sentence, _ in found], [lengths for _, lengths in found]

    def _fitted(self, sentence: Words) -> tuple[Words, list[int]]:
        pairs = [self._fit(word) for word in sentence.words]
        return Words(tuple(word for word, _ in pairs), sentence.first, sentence.stop), [n for _, n in pairs]

    def _fit(self, word: str) -> tuple[str, int]:
        """As much of the beginning of a word as fits; each try keeps the share of it that had room."""
        tokens = self._count(word)
        self.truncated += tokens > self.room
        while tokens > self.room:
            word = word[: max(1, min(len(word) - 1, len(word) * self.room // tokens))]
            tokens = self._count(word)
        return word, max(tokens, 1)

    def _count(self, word: str) -> int:
        return len(self._tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False))

    def _whole(self, sentence: Words) -> list[str]:
        """The words, with `unknown` in place of those of which the tokenizer makes nothing."""
        if not any(_may_vanish(word) for word in sentence.words):
            return list(sentence.words)
        return [word if not _may_vanish(word) or self._count(word) else self._unknown for word in sentence.words]


def _may_vanish(word: str) -> bool:
    """Tokenizers drop control and format characters, blanks and accents, never a letter, digit or sign."""
    return not any(character.isalnum() for character in word)


def _first_tokens(word_ids: Sequence[int | None], words: Words) -> list[int]:
    """[tokens]: 1 at the first token of every word that is asked for.

    Raises ModelError when a word has none.
    """
    marks, before = [], None
    for word in word_ids:
        marks.append(int(word is not None and word != before and word in words.asked))
        before = word
    if sum(marks) != len(words.asked):
        raise ModelError(
            f"the tokenizer made {sum(marks)} words of {len(words.asked)} ({str(words)[:60]!r})",
            "tune a model with another tokenizer",
        )
    return marks


def _tokens_each(word_ids: Sequence[int | None], n: int) -> list[int]:
    """Tokens of each of n words; 1 for one without any, which will be read as one."""
    counts = np.bincount([word for word in word_ids if word is not None], minlength=n)
    return [max(int(count), 1) for count in counts]
