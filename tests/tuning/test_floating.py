"""Rates of the float phase: who takes how large steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from edgeft.tuning.rates import optimizer_for
from edgeft.tuning.trainer import Recipe
from tests.tuning import small

RECIPE = Recipe(epochs=1, batch_size=2, lr=1e-3)


class Net(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Conv2d(3, 4, 1), norm, nn.Linear(4, 2)


def rates(model: nn.Module, fresh: tuple[str, ...], layer_decay: float = 1.0) -> dict[str, float]:
    optimizer = optimizer_for(model, dataclasses.replace(RECIPE, layer_decay=layer_decay), fresh)
    by_id = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if id(p) in by_id}


def test_a_new_head_takes_ten_times_the_rate_beside_a_learning_body() -> None:
    found = rates(Net(nn.LayerNorm(4)), ("head",))
    assert found["head.weight"] == found["head.bias"] == 1e-2
    assert found["body.weight"] == 1e-3


def test_a_head_that_is_no_longer_new_takes_the_rate_of_its_body() -> None:
    assert set(rates(Net(nn.BatchNorm2d(4)), ()).values()) == {1e-3}


def test_a_head_that_learns_alone_takes_the_rate_given() -> None:
    model = Net(nn.LayerNorm(4))
    for part in (model.body, model.norm):
        part.requires_grad_(False)
    assert rates(model, ("head",)) == {"head.weight": 1e-3, "head.bias": 1e-3}


def test_layers_below_the_head_take_smaller_steps_when_asked() -> None:
    model = transformers.BertForSequenceClassification(small.bert_config())
    found = rates(model, (), layer_decay=0.5)
    assert found["classifier.weight"] == found["bert.pooler.dense.weight"] == 1e-3
    assert found["bert.encoder.layer.1.output.dense.weight"] == pytest.approx(5e-4)
    assert found["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(2.5e-4)
    assert found["bert.embeddings.word_embeddings.weight"] == pytest.approx(1.25e-4)


def test_what_lies_between_blocks_counts_with_the_one_before(tmp_path: Path) -> None:
    model = transformers.TimmWrapperForImageClassification.from_pretrained(small.save_timm(tmp_path / "m"))
    found = rates(model, (), layer_decay=0.5)  # eight residual blocks
    for name, below in {"conv1": 9, "layer1.0.conv1": 8, "layer4.1.conv2": 1, "fc": 0}.items():
        assert found[f"timm_model.{name}.weight"] == pytest.approx(1e-3 * 0.5**below)


def test_biases_and_norms_do_not_decay() -> None:
    optimizer = optimizer_for(Net(nn.BatchNorm2d(4)), RECIPE, ())
    decay = {p.dim() > 1: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {True: RECIPE.weight_decay, False: 0.0}
    assert isinstance(optimizer, torch.optim.AdamW)
