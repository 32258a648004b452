"""The description of a transformers fast tokenizer, with its tokenizer.json, proven equal before it is used."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.errors import ModelError, UsageError
from edgeft.tasks.text_encoder import TextEncoder
from edgeft.tuning.token_check import first_difference

FILE = "tokenizer.json"
# Longer sequences are possible when asked for; by default attention cost stays bounded.
_DEFAULT_LIMIT = 512
# transformers writes 1e30 where a tokenizer states no limit.
_NO_LIMIT = 1_000_000
# Tables of embeddings are padded to a round number of rows, or hold a few that nobody uses; never half of them.
_LEAST_SHARE = 0.5


def text_preprocessing(tokenizer: Any, model_config: Any, max_length: int | None, folder: Path) -> dict[str, Any]:
    """Write `folder`/tokenizer.json (truncation and padding off) and return the description of `tokenizer`.

    max_length   tokens a text, special ones included; None takes the model's limit, at most 512

    Raises ModelError: no fast tokenizer, no padding token, more tokens than the model has embeddings, or a tokenizer
    that gives other ids outside transformers. UsageError: a max_length the model cannot take.
    """
    description = {
        "kind": "text",
        "tokenizer": FILE,
        **tokenizer_facts(tokenizer, model_config, max_length),
        "inputs": model_inputs(tokenizer, model_config),
        "truncation_side": tokenizer.truncation_side,
    }
    write_tokenizer(tokenizer.backend_tokenizer, Path(folder))
    _prove(tokenizer, description, Path(folder))
    return description


def tokenizer_facts(tokenizer: Any, model_config: Any, max_length: int | None) -> dict[str, Any]:
    """The part of a description that texts and words share. Raises as `text_preprocessing` does."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ModelError(
            f"{type(tokenizer).__name__} is a Python tokenizer, and a device reads tokenizer.json only",
            "install tokenizers and load the model's fast tokenizer",
        )
    return {
        "max_length": _max_length(tokenizer, model_config, max_length),
        "pad_id": _pad_id(tokenizer),
        "pad_type_id": int(getattr(tokenizer, "pad_token_type_id", 0)),
        "vocabulary": _vocabulary(tokenizer, model_config),
        "padding_side": tokenizer.padding_side,
    }


def model_inputs(tokenizer: Any, model_config: Any, takes_type_ids: bool | None = None) -> list[str]:
    """Inputs the model takes. `takes_type_ids`: whether its forward has them; None asks transformers' classifier.

    Type ids are among them when its forward has them and they can matter.

    They matter when the model tells types apart (type_vocab_size > 1) or when its tokenizer makes them; a model with
    a single type or none must not be fed ids it has no row for.
    """
    names = ["input_ids", "attention_mask"]
    types = getattr(model_config, "type_vocab_size", None)
    if not (_takes_type_ids(model_config, types) if takes_type_ids is None else takes_type_ids):
        return names
    made = "token_type_ids" in tokenizer.model_input_names
    if (types is None and made) or (types is not None and types > 1):
        names.append("token_type_ids")
    return names


def _takes_type_ids(model_config: Any, types: int | None) -> bool:
    """Whether the classification model of this configuration has a token_type_ids argument."""
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    try:
        model: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(model_config)]
    except KeyError:
        return bool(types)
    return "token_type_ids" in inspect.signature(model.forward).parameters


def _pad_id(tokenizer: Any) -> int:
    pad_id = tokenizer.pad_token_id
    if pad_id is None or pad_id < 0:
        raise ModelError(
            f"{type(tokenizer).__name__} has no usable padding token (pad_token_id is {pad_id}), and texts of a batch "
            "are padded to one length",
            "set pad_token in tokenizer_config.json and pad_token_id in config.json",
        )
    return int(pad_id)


def _vocabulary(tokenizer: Any, model_config: Any) -> int:
    """Rows of the model's embedding. The tokenizer must not know ids beyond them, nor far fewer: where a folder holds
    none, transformers makes an empty one up, which knows no word."""
    rows = int(model_config.get_text_config().vocab_size if hasattr(model_config, "get_text_config") else 0)
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise ModelError(
            f"the tokenizer has ids up to {highest} and the model embeddings for {rows} (0 to {rows - 1}), vocab_size",
            "resize the model's embeddings, or save the model with its own tokenizer",
        )
    known = len(tokenizer.get_vocab())
    if known < rows * _LEAST_SHARE:
        raise ModelError(
            f"the tokenizer knows {known} tokens and the model has embeddings for {rows}: it is not the model's own",
            "put its tokenizer.json beside the weights",
        )
    return rows


def _max_length(tokenizer: Any, model_config: Any, wanted: int | None) -> int:
    limit = _limit(tokenizer, model_config)
    least = tokenizer.backend_tokenizer.num_special_tokens_to_add(False) + 1
    if wanted is None:
        return min(limit or _DEFAULT_LIMIT, _DEFAULT_LIMIT)
    if limit is not None and wanted > limit:
        raise UsageError(f"--max-length {wanted} is more than the model's {limit} positions", f"--max-length {limit}")
    if wanted < least:
        raise UsageError(f"--max-length {wanted} leaves no room for a word", f"give at least --max-length {least}")
    return wanted


def _limit(tokenizer: Any, model_config: Any) -> int | None:
    """Most tokens the model can take: what its tokenizer states, and its position table."""
    limits = [int(tokenizer.model_max_length)] if tokenizer.model_max_length < _NO_LIMIT else []
    positions = getattr(model_config, "max_position_embeddings", None)
    if positions and positions > 0:
        # RoBERTa and its kin count positions from padding_idx + 1 = 2, so two of the table are never used.
        limits.append(int(positions) - (2 if getattr(model_config, "pad_token_id", None) == 1 else 0))
    return min(limits, default=None)


def write_tokenizer(backend: Any, folder: Path) -> None:
    """Write `folder`/tokenizer.json, with truncation and padding off."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    files.write_text(folder / FILE, copy.to_str(pretty=True))


def _prove(tokenizer: Any, description: dict[str, Any], folder: Path) -> None:
    """The file alone must give the ids transformers gives, capitals and emoji included."""

    def theirs(lines: Any) -> Any:
        return tokenizer(
            list(lines), truncation=True, max_length=description["max_length"], padding=True, return_tensors="np"
        )

    line = first_difference(TextEncoder(description, folder), theirs)
    if line is not None:
        raise ModelError(
            f"{type(tokenizer).__name__} gives other token ids than its tokenizer.json for {line!r}, so a device would "
            "read texts otherwise than training did",
            "save the tokenizer again with save_pretrained, or choose a model with a fast tokenizer",
        )
