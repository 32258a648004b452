from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeft.errors import FolderError, MachineError, ModelError
from edgeft.tasks import TASKS
from edgeft.tasks.text_encoder import TextEncoder

tokenizers = pytest.importorskip("tokenizers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "one", "two", "three"]
HOW: dict[str, Any] = {
    "kind": "text",
    "tokenizer": "tokenizer.json",
    "max_length": 5,
    "inputs": ["input_ids", "attention_mask", "token_type_ids"],
    "pad_id": 0,
    "pad_type_id": 0,
    "vocabulary": len(WORDS),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer of seven words: [CLS] words [SEP]."""
    ids = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_ids_mask_and_padding_to_the_longest(folder: Path) -> None:
    found = TextEncoder(HOW, folder)(["one two", "three", ""])
    assert found["input_ids"].tolist() == [[2, 4, 5, 3], [2, 6, 3, 0], [2, 3, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert found["token_type_ids"].tolist() == [[0] * 4] * 3


def test_texts_are_padded_to_a_fixed_length_when_the_description_says_so(folder: Path) -> None:
    encoder = TextEncoder({**HOW, "pad_to": 5}, folder)
    found = encoder(["one two", ""])
    assert found["input_ids"].tolist() == [[2, 4, 5, 3, 0], [2, 3, 0, 0, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]
    assert {spec.shape for spec in encoder.inputs} == {("batch", 5)}


def test_all_inputs_are_int64(folder: Path) -> None:  # E03
    encoder = TextEncoder(HOW, folder)
    assert {array.dtype for array in encoder(["one"]).values()} == {np.dtype(np.int64)}
    assert [(spec.name, spec.dtype, spec.shape) for spec in encoder.inputs] == [
        ("input_ids", "int64", ("batch", "sequence")),
        ("attention_mask", "int64", ("batch", "sequence")),
        ("token_type_ids", "int64", ("batch", "sequence")),
    ]


def test_inputs_are_those_the_model_takes(folder: Path) -> None:  # E02
    found = TextEncoder({**HOW, "inputs": ["input_ids", "attention_mask"]}, folder)(["one"])
    assert list(found) == ["input_ids", "attention_mask"]


def test_long_text_is_cut_before_its_last_special_token(folder: Path) -> None:  # D26
    encoder = TextEncoder(HOW, folder)
    found = encoder(["one two three one two", "one two three"])
    assert found["input_ids"].tolist() == [[2, 4, 5, 6, 3], [2, 4, 5, 6, 3]]
    assert (encoder.truncated, encoder.encoded) == (1, 2)
    encoder([" ".join(["one"] * 600)])
    assert (encoder.truncated, encoder.encoded) == (2, 3)


def test_cut_and_padded_on_the_left(folder: Path) -> None:
    how = {**HOW, "truncation_side": "left", "padding_side": "left"}
    found = TextEncoder(how, folder)(["one two three one two", "one"])
    assert found["input_ids"].tolist() == [[2, 6, 4, 5, 3], [0, 0, 2, 4, 3]]
    assert found["attention_mask"].tolist() == [[1] * 5, [0, 0, 1, 1, 1]]


def test_pad_ids_of_the_description(folder: Path) -> None:
    found = TextEncoder({**HOW, "pad_id": 6, "pad_type_id": 1}, folder)(["one two", ""])
    assert found["input_ids"][1].tolist() == [2, 3, 6, 6]
    assert found["token_type_ids"][1].tolist() == [0, 0, 1, 1]


def test_ids_outside_the_vocabulary(folder: Path) -> None:  # R18
    encoder = TextEncoder({**HOW, "vocabulary": len(WORDS) - 1}, folder)
    assert encoder(["two"])["input_ids"].max() == 5
    with pytest.raises(ModelError, match=r"token id 6 is outside the model's vocabulary of 6 \(0 to 5\)"):
        encoder(["three"])


@pytest.mark.parametrize("pad_id", [-1, 7])
def test_pad_id_outside_the_vocabulary(folder: Path, pad_id: int) -> None:  # R18
    with pytest.raises(ModelError, match=f"token id {pad_id} is outside"):
        TextEncoder({**HOW, "pad_id": pad_id}, folder)


def test_missing_and_unreadable_tokenizer(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(FolderError, match=r"tokenizer.json is no tokenizer"):
        TextEncoder(HOW, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FolderError, match=r"tokenizer.json is missing"):
        TextEncoder(HOW, folder)


def test_missing_package_is_named_by_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MachineError, match="module tokenizers, which is missing; pip install tokenizers"):
        TextEncoder(HOW, folder)


def test_incomplete_description(folder: Path) -> None:  # T13
    with pytest.raises(FolderError, match="lacks max_length"):
        TASKS.load("text-classification").encoder({k: v for k, v in HOW.items() if k != "max_length"}, folder)


def test_no_texts(folder: Path) -> None:
    assert TextEncoder(HOW, folder)([])["input_ids"].shape == (0, 0)
