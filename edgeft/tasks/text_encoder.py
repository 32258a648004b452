"""Texts to token ids, by the description that travels with the model and its tokenizer.json.

    {"kind": "text", "tokenizer": file, "max_length": n, "inputs": ["input_ids", "attention_mask", "token_type_ids"],
     "pad_id": n, "pad_type_id": n, "vocabulary": n,
     "padding_side": "right" | "left", "truncation_side": "right" | "left"   (both "right" when absent),
     "pad_to": n   (absent: the longest text given)}

`inputs` are those the model takes: type ids are supplied (zeros where the tokenizer makes none) or left out as it says.
`vocabulary` is the number of rows of the model's embedding: an id outside it would read another row or fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.errors import FolderError, MachineError, ModelError
from edgeft.form import SIZE, TEXT, WHOLE, Many, Record
from edgeft.tasks.describe import check, choose
from edgeft.tasks.task import TensorSpec

_FORM = Record(
    {
        "tokenizer": TEXT, "max_length": SIZE, "inputs": Many(TEXT, least=1), "pad_id": WHOLE, "pad_type_id": WHOLE,
        "vocabulary": SIZE,
    },
    {"padding_side": TEXT, "truncation_side": TEXT, "pad_to": WHOLE},
)  # fmt: skip
# Input name -> attribute of tokenizers.Encoding
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
# What stands for a hidden word, first found: the mask token of BERT's and RoBERTa's vocabularies, else "unknown".
_MASKS = ("[MASK]", "<mask>", "[UNK]", "<unk>")
SIDES = {"right": "right", "left": "left"}


def load_tokenizer(path: Path) -> Any:
    """A tokenizers.Tokenizer. Raises MachineError without the package, FolderError without a readable file."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MachineError(
            "reading texts needs the module tokenizers, which is missing", "pip install tokenizers"
        ) from error
    if not path.is_file():
        raise FolderError(f"{path} is missing", "copy the whole bundle, or export it again")
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises plain Exception
        raise FolderError(
            f"{path} is no tokenizer this version of tokenizers can read ({error})", "pip install -U tokenizers"
        ) from error


class TextEncoder:
    """Texts -> {input name: int64 [n, longest or pad_to]}.

    `truncated` counts the texts cut so far, `encoded` all texts.
    """

    def __init__(self, preprocessing: Mapping[str, Any], folder: Path) -> None:
        how = check(preprocessing, "text", _FORM)
        self._tokenizer = load_tokenizer(Path(folder) / how["tokenizer"])
        self._fields = {name: choose(name, FIELDS, "input") for name in how["inputs"]}
        self._vocabulary, self._pad_id = int(how["vocabulary"]), int(how["pad_id"])
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(
            int(how["max_length"]), direction=choose(how.get("truncation_side", "right"), SIDES, "truncation_side")
        )
        self._pad_to = int(how.get("pad_to", 0))
        self._left = choose(how.get("padding_side", "right"), SIDES, "padding_side") == "left"
        self._fill = {"input_ids": self._pad_id, "attention_mask": 0, "token_type_ids": int(how["pad_type_id"])}
        check_ids(self._pad_id, self._pad_id, self._vocabulary)
        self.inputs: tuple[TensorSpec, ...] = tuple(
            TensorSpec(name, "int64", ("batch", self._pad_to or "sequence")) for name in self._fields
        )
        self.truncated = 0
        self.encoded = 0

    def __call__(self, contents: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
        """Raises ModelError when the tokenizer makes an id the model has no embedding for."""
        encodings = self._tokenizer.encode_batch([str(text) for text in contents])
        self.encoded += len(encodings)
        self.truncated += sum(bool(encoding.overflowing) for encoding in encodings)
        longest = self._pad_to or max((len(encoding) for encoding in encodings), default=0)
        return stack_fields(encodings, self._fields, longest, self._fill, self._left, self._vocabulary)

    @property
    def mask_id(self) -> int:
        """The id of the token that stands for a hidden word; the padding's where the vocabulary has none."""
        known = (self._tokenizer.token_to_id(token) for token in _MASKS)
        return next((int(one) for one in known if one is not None), self._pad_id)

    def words(self, text: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The words of `text` as the tokenizer splits it, as far as the model sees them; and [positions] the number of
        the word at each position of what is fed for it alone, -1 where there is none."""
        encoding = self._tokenizer.encode(text)
        given = [-1 if word is None else word for word in encoding.word_ids]
        numbers = sorted({*given} - {-1})
        spans = [[span for span, word in zip(encoding.offsets, given, strict=True) if word == n] for n in numbers]
        row = [numbers.index(word) if word >= 0 else -1 for word in given]
        found = tuple(text[min(start for start, _ in span) : max(end for _, end in span)].strip() for span in spans)
        return found, stack([row], self._pad_to or len(row), -1, self._left)[0]


def stack_fields(
    encodings: Sequence[Any],
    fields: Mapping[str, str],
    longest: int,
    fill: Mapping[str, int],
    left: bool,
    vocabulary: int,
) -> dict[str, NDArray[Any]]:
    """Input name -> int64 [n, longest]: the field of each encoding that `fields` names, padded with `fill`.

    Raises ModelError when the tokenizer made an id the model has no embedding for.
    """
    arrays: dict[str, NDArray[Any]] = {
        name: stack([getattr(encoding, field) for encoding in encodings], longest, fill[name], left)
        for name, field in fields.items()
    }
    ids = arrays.get("input_ids")
    if ids is not None and ids.size:
        check_ids(int(ids.min()), int(ids.max()), vocabulary)
    return arrays


def stack(rows: Sequence[Sequence[int]], longest: int, fill: int, left: bool) -> NDArray[np.int64]:
    """Rows padded to `longest`. int64 is stated, since numpy's own default is int32 on some boards."""
    array = np.full((len(rows), longest), fill, np.int64)
    for number, values in enumerate(rows):
        start = longest - len(values) if left else 0
        array[number, start : start + len(values)] = values
    return array


def check_ids(lowest: int, highest: int, vocabulary: int) -> None:
    """Raises ModelError when one of the two is no row of an embedding of `vocabulary` rows."""
    if lowest < 0 or highest >= vocabulary:
        wrong = lowest if lowest < 0 else highest
        raise ModelError(
            f"token id {wrong} is outside the model's vocabulary of {vocabulary} (0 to {vocabulary - 1}): this "
            "tokenizer is not the model's",
            "save the model together with its own tokenizer and tune again",
        )
