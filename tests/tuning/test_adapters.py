"""LoRA: what learns, what keeps still, and that merging is exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

pytest.importorskip("peft", reason="the package peft is not installed")

from edgeft.tuning.adapters import ALPHA, RANK, adapters_in, is_adapter, layers
from edgeft.tuning.freeze import freeze, frozen_tensors, hash_tensors, learning
from tests.tuning import small


def bert() -> nn.Module:
    transformers.set_seed(0)
    return transformers.BertForSequenceClassification(small.bert_config()).eval()


TOKENS = torch.tensor([[2, 5, 7, 3], [2, 6, 3, 0]])


def train_a_little(model: nn.Module) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model(input_ids=TOKENS).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_adapters_begin_as_no_change_and_are_merged_exactly() -> None:
    model = bert()
    names, before = list(model.state_dict()), model(input_ids=TOKENS).logits
    query = model.bert.encoder.layer[0].attention.self.query.weight.detach().clone()
    with learning(model, "lora", (), seed=0):
        assert torch.equal(model(input_ids=TOKENS).logits, before)
        train_a_little(model)
        trained = model(input_ids=TOKENS).logits
        layer = model.bert.encoder.layer[0].attention.self.query
        update = ALPHA / RANK * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    assert list(model.state_dict()) == names
    merged = model.bert.encoder.layer[0].attention.self.query.weight
    assert type(model.bert.encoder.layer[0].attention.self.query) is nn.Linear
    torch.testing.assert_close(merged, query + update)
    assert not torch.equal(merged, query)
    torch.testing.assert_close(model(input_ids=TOKENS).logits, trained, atol=1e-5, rtol=1e-4)


def test_only_adapters_and_the_head_learn() -> None:
    model = bert()
    with learning(model, "lora", (), seed=0):
        learns = {name for name, p in model.named_parameters() if p.requires_grad}
        assert {name for name in learns if not is_adapter(name)} == {"classifier.weight", "classifier.bias"}
        # a pair of matrices of rank 16 beside each of the 13 layers
        assert len(learns) == 2 + 2 * 13
        query = model.bert.encoder.layer[0].attention.self.query
        assert query.lora_A["default"].weight.shape == (RANK, 32)
        before = hash_tensors(frozen_tensors(model))
        assert "bert.encoder.layer.0.attention.self.query.base_layer.weight" in before
        train_a_little(model)
        assert hash_tensors(frozen_tensors(model)) == before


def test_new_layers_learn_themselves() -> None:
    model = bert()
    assert "bert.pooler.dense" in layers(model) and "bert.pooler.dense" not in layers(model, ("bert.pooler",))
    with learning(model, "lora", ("bert.pooler",), seed=0):
        assert model.bert.pooler.dense.weight.requires_grad and type(model.bert.pooler.dense) is nn.Linear


def test_convolutions_get_them_too_and_their_normalisation_keeps_still(tmp_path: Path) -> None:
    transformers.set_seed(0)
    folder = small.save_timm(tmp_path / "m")
    model = transformers.TimmWrapperForImageClassification.from_pretrained(folder).eval()
    images = torch.randn(2, 3, 32, 32)
    with learning(model, "lora", (), seed=0):
        assert not any("bn" in name for name, p in model.named_parameters() if p.requires_grad)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 1e-3)
        trained = model(pixel_values=images).logits
    torch.testing.assert_close(model(pixel_values=images).logits, trained, atol=1e-4, rtol=1e-3)


def test_the_same_seed_begins_alike_and_the_callers_random_numbers_are_left_alone() -> None:
    drawn, starts = [], []
    for seed in (0, 0, 1):
        model = bert()
        freeze(model, "lora")
        torch.manual_seed(5)
        with adapters_in(model, seed):
            starts.append(model.bert.pooler.dense.lora_A["default"].weight.detach().clone())
        drawn.append(torch.rand(1))
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    assert torch.equal(drawn[0], drawn[1])
