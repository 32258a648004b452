from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from edgeft.data.dataset import Example
from edgeft.tuning.losses import class_weights, cross_entropy, distillation


def logits_for(*probabilities: list[float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def test_cross_entropy() -> None:
    loss = cross_entropy()(logits_for([0.25, 0.75]), torch.tensor([1]), {})
    assert loss.item() == pytest.approx(-math.log(0.75))


def test_weights_count_a_class_more() -> None:
    loss = cross_entropy(torch.tensor([3.0, 1.0]))
    value = loss(logits_for([0.5, 0.5], [0.25, 0.75]), torch.tensor([0, 1]), {})
    assert value.item() == pytest.approx((3 * math.log(2) - math.log(0.75)) / 4)


def test_balanced_weights() -> None:
    examples = [Example(str(n), "x", 0) for n in range(6)] + [Example("r", "x", 1), Example("s", "x", 1)]
    assert class_weights("balanced", examples, 2).tolist() == pytest.approx([8 / 12, 8 / 4])
    assert class_weights("none", examples, 2) is None


class Teacher(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training and not torch.is_grad_enabled()
        return x


def test_distillation_is_kl_plus_a_share_of_the_labels_loss() -> None:
    student, teacher = logits_for([0.5, 0.5]), logits_for([0.2, 0.8])
    loss = distillation(Teacher())(student, torch.tensor([0]), {"x": teacher})
    divergence = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    assert loss.item() == pytest.approx(divergence + 0.3 * math.log(2), rel=1e-5)


def test_a_student_like_its_teacher_has_only_the_labels_loss() -> None:
    same = logits_for([0.2, 0.8])
    assert distillation(Teacher())(same, torch.tensor([1]), {"x": same}).item() == pytest.approx(
        -0.3 * math.log(0.8), rel=1e-5
    )


def test_focal_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    labels = torch.tensor([0, 0])
    found = cross_entropy(focal=2.0)(logits, labels, {})
    # (1 - 0.5)^2 * -ln 0.5 and (1 - 0.9)^2 * -ln 0.9
    assert float(found) == pytest.approx((0.25 * 0.693147 + 0.01 * 0.105361) / 2, rel=1e-5)
    weighted = cross_entropy(torch.tensor([3.0, 1.0]), focal=2.0)(logits, labels, {})
    assert float(weighted) == pytest.approx(float(found), rel=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([3.0, 1.0, 0.5])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("focal", [0.0, 2.0])
def test_shares_of_one_label_are_that_label(weights: torch.Tensor | None, smoothing: float, focal: float) -> None:
    loss = cross_entropy(weights, smoothing, focal)
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 1, 1, 0])
    assert loss(logits, torch.eye(3)[labels], {}).item() == pytest.approx(loss(logits, labels, {}).item(), rel=1e-5)


def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses() -> None:
    logits = logits_for([0.5, 0.2, 0.3])
    of = [cross_entropy(smoothing=0.1)(logits, torch.tensor([label]), {}).item() for label in (0, 2)]
    mixed = cross_entropy(smoothing=0.1)(logits, torch.tensor([[0.7, 0.0, 0.3]]), {}).item()
    assert mixed == pytest.approx(0.7 * of[0] + 0.3 * of[1], rel=1e-5)
    # and by hand, without smoothing
    plain = cross_entropy()(logits, torch.tensor([[0.7, 0.0, 0.3]]), {}).item()
    assert plain == pytest.approx(-0.7 * math.log(0.5) - 0.3 * math.log(0.3), rel=1e-5)


def test_a_student_is_taught_with_mixed_labels_too() -> None:
    same = logits_for([0.2, 0.8])
    found = distillation(Teacher(), torch.tensor([1.0, 1.0]))(same, torch.tensor([[0.25, 0.75]]), {"x": same}).item()
    assert found == pytest.approx(-0.3 * (0.25 * math.log(0.2) + 0.75 * math.log(0.8)), rel=1e-5)
