"""Rates of the float phase: who takes how large steps."""

from __future__ import annotations

import torch
from torch import nn

from edgeft.tuning.floating import optimizer_for
from edgeft.tuning.trainer import Recipe

RECIPE = Recipe(epochs=1, batch_size=2, lr=1e-3)


class Net(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Conv2d(3, 4, 1), norm, nn.Linear(4, 2)


def rates(model: nn.Module, fresh: tuple[str, ...]) -> dict[str, float]:
    optimizer = optimizer_for(model, RECIPE, fresh)
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


def test_biases_and_norms_do_not_decay() -> None:
    optimizer = optimizer_for(Net(nn.BatchNorm2d(4)), RECIPE, ())
    decay = {p.dim() > 1: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {True: RECIPE.weight_decay, False: 0.0}
    assert isinstance(optimizer, torch.optim.AdamW)
