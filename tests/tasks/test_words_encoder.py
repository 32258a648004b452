from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from edgeft.data.dataset import Example
from edgeft.data.words import Words
from edgeft.errors import FolderError, ModelError
from edgeft.tasks import TASKS
from edgeft.tasks.task import ASKED, IGNORED, answers_in, labels_of, owners_of
from edgeft.tasks.words_encoder import WordsEncoder

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ann", "sees", "new", "york", "##s", "##er", ".", "a"]
HOW: dict[str, Any] = {
    "kind": "words", "tokenizer": "tokenizer.json", "max_length": 8, "stride": 2, "unknown": "[UNK]",
    "inputs": ["input_ids", "attention_mask"], "pad_id": 0, "pad_type_id": 0, "vocabulary": len(PIECES),
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path):
    inner = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inner.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    inner.save(str(tmp_path / "tokenizer.json"))
    return lambda **changes: WordsEncoder({**copy.deepcopy(HOW), **changes}, tmp_path)


def test_the_first_token_of_every_word_is_asked_for(make) -> None:
    found = make()([Words(("Anns", "sees", "a.")), Words(("York",))])
    # [CLS] ann ##s sees a . [SEP]  and  [CLS] york [SEP]
    assert found["input_ids"].tolist() == [[2, 4, 8, 5, 11, 10, 3], [2, 7, 3, 0, 0, 0, 0]]
    assert found["attention_mask"].tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]
    assert found[ASKED].tolist() == [
        [False, True, False, True, True, False, False], [False, True, False, False, False, False, False],
    ]  # fmt: skip
    assert found["input_ids"].dtype == np.int64 and found[ASKED].dtype == bool


def test_context_is_not_asked_for(make) -> None:
    found = make()([Words(("Anns", "sees", "York"), 1, 2)])
    assert found[ASKED].tolist() == [[False, False, False, True, False, False]]


def test_padding_on_the_left_and_to_a_fixed_length(make) -> None:
    found = make(padding_side="left", pad_to=8)([Words(("Anns",))])
    assert found["input_ids"].tolist() == [[0, 0, 0, 0, 2, 4, 8, 3]]
    assert found[ASKED].tolist() == [[False] * 5 + [True, False, False]]


@pytest.mark.parametrize("nothing", ["\u200b", "\x07", "\ufe0f", " "])
def test_a_word_of_no_tokens_has_an_answer_too(make, nothing: str) -> None:
    found = make()([Words(("Ann", nothing, "sees"))])
    assert found["input_ids"].tolist() == [[2, 4, 1, 5, 3]]
    assert found[ASKED].tolist() == [[False, True, True, True, False]]


def test_answers_stand_in_the_order_of_the_words(make) -> None:
    arrays = make()([Words(("Anns", "sees")), Words(("York",))])
    output = np.arange(2 * 5 * 2, dtype=np.float32).reshape(2, 5, 2)
    assert answers_in(output, arrays).tolist() == [[2, 3], [6, 7], [12, 13]]
    assert answers_in(output[:, 0], {}).tolist() == output[:, 0].tolist()


def test_long_sentences_become_windows_and_every_word_is_answered_once(make) -> None:
    encoder, task = make(), TASKS.load("token-classification")
    words = ("Anns", "sees", "New", "Yorker", "a.", "Ann", "sees", "a", "New", "York")
    examples = [Example("s", Words(words), tuple(range(10))), Example("t", Words(("Ann",)), (3,))]
    queries = task.queries(examples, encoder)
    arrays = encoder([query.content for query in queries])
    assert arrays["input_ids"].shape[1] <= 8 and len(queries) > 2
    assert labels_of(queries).tolist() == [*range(10), 3] and int(arrays[ASKED].sum()) == 11
    owners = owners_of(queries)
    assert owners is not None and owners.tolist() == [0] * 10 + [1]


def test_a_sentence_that_was_not_cut_is_refused(make) -> None:
    with pytest.raises(ModelError, match="was not cut in windows"):
        make()([Words(("ann",) * 7)])


def test_a_word_longer_than_a_window_loses_its_end(make) -> None:
    encoder = make()
    (words,), (lengths,) = encoder.shortened([Words(("a" + "." * 30, "ann"))])
    assert lengths[0] <= encoder.room == 6 and words.words[0].startswith("a..") and words.words[1] == "ann"
    assert encoder.truncated == 1


def test_the_unknown_token_must_be_one(make) -> None:
    with pytest.raises(FolderError, match="no token '<unk>'"):
        make(unknown="<unk>")


def test_an_id_without_an_embedding_is_refused(make) -> None:
    with pytest.raises(ModelError, match="outside the model's vocabulary of 5"):
        make(vocabulary=5)([Words(("sees",))])


def test_labels_stand_at_first_tokens_and_nothing_else_is_learnt(make) -> None:
    from edgeft.tuning.batches import Collate

    examples = [Example("s", Words(("Anns", "sees")), (1, 2)), Example("t", Words(("York",)), (3,))]
    batch = Collate(make(), 0)([((0, i), example) for i, example in enumerate(examples)])
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    no = IGNORED
    assert batch["labels"].tolist() == [[no, 1, no, 2, no], [no, 3, no, no, no]]
