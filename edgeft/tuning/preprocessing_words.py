"""The description of a transformers fast tokenizer that reads split words, proven equal before it is used."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeft.data.words import Words
from edgeft.errors import ModelError
from edgeft.tasks.task import ASKED
from edgeft.tasks.words_encoder import WordsEncoder
from edgeft.tuning.preprocessing_text import FILE, model_inputs, tokenizer_facts, write_tokenizer
from edgeft.tuning.token_check import CHECK_LINES

# Windows share a quarter of their tokens: a word next to a border has an eighth of a window of context on that side.
_STRIDE_SHARE = 4


def words_preprocessing(tokenizer: Any, model: Any, max_length: int | None, folder: Path) -> dict[str, Any]:
    """Write `folder`/tokenizer.json (truncation and padding off) and return the description of `tokenizer`.

    max_length   tokens a window, special ones included; None takes the model's limit, at most 512

    Raises ModelError and UsageError as text_preprocessing does, and ModelError for a tokenizer that reads a word
    otherwise when no blank stands before it.
    """
    facts = tokenizer_facts(tokenizer, model.config, max_length)
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    description = {
        "kind": "words",
        "tokenizer": FILE,
        **facts,
        "stride": facts["max_length"] // _STRIDE_SHARE,
        "unknown": tokenizer.unk_token or tokenizer.pad_token,
        "inputs": model_inputs(tokenizer, model.config, takes),
    }
    refuse_bare_words(tokenizer)
    write_tokenizer(tokenizer.backend_tokenizer, Path(folder))
    _prove(tokenizer, WordsEncoder(description, folder), description["max_length"])
    return description


def refuse_bare_words(tokenizer: Any) -> None:
    """A byte-level tokenizer has one token for a word with a blank before it and another without: split words have
    none, so it must add one itself. load() sees to that; where it cannot, the tokenizer is refused."""
    if bare_byte_level(tokenizer):
        raise ModelError(
            f"{type(tokenizer).__name__} reads a word otherwise without the blank before it, and the words here come "
            "split",
            "save the tokenizer with add_prefix_space=True, or choose a model with a WordPiece or Unigram tokenizer",
        )


def bare_byte_level(tokenizer: Any) -> bool:
    """Is it a byte-level tokenizer that adds no blank before a word?"""
    found = json.loads(tokenizer.backend_tokenizer.to_str()).get("pre_tokenizer") or {}
    parts = found.get("pretokenizers", [found])
    return any(part.get("type") == "ByteLevel" and not part.get("add_prefix_space") for part in parts)


def add_blank(tokenizer: Any) -> None:
    """Let a byte-level tokenizer add the blank before a word. In a chain of pre-tokenizers it would be added before
    every part of a word, so such a one stays as it is."""
    from tokenizers.pre_tokenizers import ByteLevel

    first = tokenizer.backend_tokenizer.pre_tokenizer
    if isinstance(first, ByteLevel):
        first.add_prefix_space = True


def _prove(tokenizer: Any, encoder: WordsEncoder, max_length: int) -> None:
    """The file alone must give the ids and the first token of every word that transformers gives."""
    lines = [tuple(line.split()) for line in CHECK_LINES if line.strip()]
    for words in lines:
        theirs = tokenizer([list(words)], is_split_into_words=True, return_tensors="np")
        if theirs["input_ids"].shape[1] <= max_length and not _same(encoder([Words(words)]), theirs, words):
            raise ModelError(
                f"{type(tokenizer).__name__} gives other token ids than its tokenizer.json for {' '.join(words)!r}, so "
                "a device would read words otherwise than training did",
                "save the tokenizer again with save_pretrained, or choose a model with a fast tokenizer",
            )


def _same(ours: Mapping[str, Any], theirs: Any, words: Sequence[str]) -> bool:
    """Equal ids, and as many first tokens at the same places; where a word has no token, ours has one more."""
    word_ids = theirs.word_ids(0)
    if len({word for word in word_ids if word is not None}) < len(words):
        return True
    firsts = [word is not None and (at == 0 or word != word_ids[at - 1]) for at, word in enumerate(word_ids)]
    shared = set(ours) & set(theirs)
    alike = all(np.array_equal(ours[name], theirs[name]) for name in shared)
    return "input_ids" in shared and alike and ours[ASKED][0].tolist() == firsts
