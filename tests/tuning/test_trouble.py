"""Training that goes wrong: what is noticed, when, and which layer is named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeft.errors import ModelError
from edgeft.quant.engine import build, calibrate
from edgeft.scheme import U8S8
from edgeft.tuning.trainer import Recipe
from edgeft.tuning.trouble import Course, gradient_not_finite, not_finite_in
from tests.quant.nets import MASKED, TEXT, Masked, Words, masked, words
from tests.tuning.test_trainer import Line, train


class Block(nn.Module):
    """Divides by what its input sums to: not finite for zeros, whatever its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x) / x.sum()))


def test_the_first_module_whose_output_is_not_finite_is_named() -> None:
    model = Block()
    assert not_finite_in(model, {"x": torch.ones(3, 2)}) == ""
    assert not_finite_in(model, {"x": torch.zeros(3, 2)}) == "norm"  # first's own output is finite


def test_weights_that_are_not_finite_are_named_first() -> None:
    model = Block()
    with torch.no_grad():
        model.last.weight[0, 0] = math.inf
    assert not_finite_in(model, {"x": torch.zeros(3, 2)}) == "the weights last.weight"


def test_the_layer_of_a_captured_graph_is_named_by_its_module() -> None:
    batch = words()
    model = build(Words(), TEXT, batch, U8S8)
    calibrate(model, [batch])
    assert not_finite_in(model, batch) == ""
    model.graph.get_submodule("gelu_fq").register_forward_hook(lambda *_: torch.tensor(math.nan).expand(16, 6, 16))
    assert not_finite_in(model, batch) == "narrow"


@pytest.mark.parametrize("form", Masked.FORMS)
def test_an_infinite_mask_is_no_trouble(form: str) -> None:
    batch = masked()
    model = build(Masked(form), MASKED, batch, U8S8)
    calibrate(model, [batch])
    assert not_finite_in(model, batch) == ""


def test_the_gradient_nearest_the_loss_is_named() -> None:
    model = Block()
    model(torch.ones(3, 2)).sum().backward()
    assert gradient_not_finite(model) == ""
    assert model.first.weight.grad is not None and model.norm.weight.grad is not None
    model.first.weight.grad[0, 0] = math.nan
    assert gradient_not_finite(model) == "first.weight"
    model.norm.weight.grad[0] = math.inf
    assert gradient_not_finite(model) == "norm.weight"


def test_divergence_is_twice_as_wrong_as_chance_and_as_the_start_for_many_steps() -> None:
    course = Course(Block())
    chance = math.log(10)
    assert not any(course.diverged(1.0, 10) for _ in range(20))
    assert not any(course.diverged(50.0 if step == 3 else 1.5 * chance, 10) for step in range(20))  # one bad batch
    assert not any(course.diverged(2.1 * chance, 10) for _ in range(9))
    assert any(course.diverged(2.1 * chance, 10) for _ in range(3))  # more than half of the last twenty


def test_a_loss_that_began_large_may_stay_so() -> None:
    course = Course(Block())
    assert not any(course.diverged(30.0, 2) for _ in range(100))


def test_what_changed_most_is_named() -> None:
    model = Block()
    course = Course(model)
    with torch.no_grad():
        model.first.weight.mul_(3)
        model.last.weight.mul_(0.1)
        model.last.bias.mul_(1e6)  # starts anywhere, says nothing
    name, factor = course.most_changed(model)
    assert name == "last.weight" and factor == pytest.approx(0.1)


def test_a_diverging_run_stops_with_the_layer_and_what_to_type(tmp_path: Path) -> None:
    class Deep(Line):
        def __init__(self) -> None:
            super().__init__(0.1)
            self.body = nn.Linear(1, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(self.body(x))

    recipe = Recipe(epochs=60, batch_size=4, lr=1.0, schedule="constant", warmup=0, weight_decay=0)

    def upwards(logits: torch.Tensor, labels: torch.Tensor, inputs: Any) -> torch.Tensor:
        return -nn.functional.cross_entropy(logits, labels) + 2 * nn.functional.cross_entropy(logits, labels).detach()

    with pytest.raises(
        ModelError, match=r"training diverged: at step \d+ .* (body\.weight|w) changed most, to .* try a"
    ):
        train(tmp_path, Deep(), recipe, loss=upwards)


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    model = Line()

    def rootlike(logits: torch.Tensor, labels: torch.Tensor, inputs: Any) -> torch.Tensor:
        return (logits * 0).sum().sqrt()  # finite, with the slope 0 * inf

    with pytest.raises(ModelError, match=r"a gradient is not finite at step 1, first that of w; try"):
        train(tmp_path, model, Recipe(epochs=1, batch_size=4, lr=0.1), loss=rootlike)
    assert model.w.item() == pytest.approx(0.1)
