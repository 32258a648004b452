"""A linear probe as the start of a new head: against scikit-learn where it is there, and by what it separates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeft.tasks import TASKS
from edgeft.tuning.frozen import Backbone
from edgeft.tuning.losses import cross_entropy
from edgeft.tuning.probe import fit, start_head
from tests.tuning import small


def clusters(n: int = 200, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=generator)
    centres = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    return (centres[y] + torch.randn(n, 4, generator=generator)).double(), y


def test_it_is_logistic_regression_with_an_l2_penalty() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x, y = clusters()
    weight, bias = fit(x, y, 3, penalty=0.01, loss=cross_entropy())
    # scikit-learn minimises the sum of the losses + |w|^2 / (2 C): the same with C = 1 / (n * penalty)
    peer = linear_model.LogisticRegression(C=1 / (200 * 0.01), max_iter=1000, tol=1e-8).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(weight.numpy(), peer.coef_, atol=5e-3)
    ours = (x @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(ours, peer.predict_proba(x.numpy()), atol=2e-3)


def test_it_minimises_the_loss_training_minimises() -> None:
    """With smoothed labels answers are never sure: on classes far apart, the right one gets 1 - 0.1 + 0.1 / 2."""
    x, y = torch.tensor([[-1.0], [1.0]]).double().repeat(50, 1), torch.tensor([0, 1]).repeat(50)
    weight, bias = fit(x, y, 2, penalty=1e-9, loss=cross_entropy(smoothing=0.1))
    right = (x @ weight.T + bias).softmax(1).gather(1, y[:, None])
    torch.testing.assert_close(right, torch.full_like(right, 0.95), atol=1e-4, rtol=0)


def test_at_the_minimum_the_gradient_is_the_penalty_times_the_weight() -> None:
    x, y = clusters()
    weight, bias = fit(x, y, 3, penalty=0.1, loss=cross_entropy())
    error = (x @ weight.T + bias).softmax(1) - nn.functional.one_hot(y, 3)
    torch.testing.assert_close(error.T @ x / len(x), -0.1 * weight, atol=1e-4, rtol=0)
    torch.testing.assert_close(error.mean(0), torch.zeros(3, dtype=torch.double), atol=1e-4, rtol=0)


class Features(nn.Module):
    """The mean of each channel, twice, at very different scales, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 1, 1, 1000, 1000, 1000]))
        self.classifier = nn.Linear(6, 2)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        mean = pixel_values.mean((2, 3))
        return self.classifier(torch.cat([mean, mean], 1) * self.scale)


def backbone(model: Features) -> Backbone:
    return Backbone(model, model.classifier, {})


def encoder_and_data(tmp_path: Path):  # type: ignore[no-untyped-def]
    data = small.image_dataset(tmp_path)
    description = {
        "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255],
        "height": 32, "width": 32, "resize": {"rule": "exact", "height": 32, "width": 32}, "resample": "bilinear",
        "rescale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "input": "pixel_values",
    }  # fmt: skip
    return TASKS.load("image-classification").encoder(description, tmp_path), data.splits


def test_the_head_answers_right_before_any_training(tmp_path: Path) -> None:
    encoder, splits = encoder_and_data(tmp_path)
    torch.manual_seed(0)
    model = Features().train()
    scale = model.scale.detach().clone()
    accuracy = start_head(backbone(model), encoder, splits["train"], splits["validation"], cross_entropy())
    assert accuracy == 1.0
    images = torch.from_numpy(encoder([example.content for example in splits["test"]])["pixel_values"])
    right = torch.tensor([example.label for example in splits["test"]])
    assert torch.equal(model(images).argmax(1), right)
    assert torch.equal(model.scale, scale) and model.training


def test_anything_but_one_linear_layer_is_left_alone(tmp_path: Path) -> None:
    encoder, splits = encoder_and_data(tmp_path)
    model = Features()
    before = model.classifier.weight.detach().clone()
    model.classifier = nn.Sequential(model.classifier)
    assert start_head(backbone(model), encoder, splits["train"], splits["validation"], cross_entropy()) is None
    assert torch.equal(model.classifier[0].weight, before)


def test_a_feature_that_hardly_varies_gets_no_weight_that_8_bits_cannot_hold(tmp_path: Path) -> None:
    """Three of six features are a ten-thousandth of the others and say the same: divided by their own deviation, their
    weights would be 10,000 times the others', and those would all round to 0 on the grid of 127 steps a side."""
    encoder, splits = encoder_and_data(tmp_path)
    torch.manual_seed(0)
    model = Features()
    with torch.no_grad():
        model.scale.copy_(torch.tensor([1.0, 1, 1, 1e-4, 1e-4, 1e-4]))
    assert start_head(backbone(model), encoder, splits["train"], splits["validation"], cross_entropy()) == 1.0
    weight = model.classifier.weight.detach()
    step = weight.abs().amax(1, keepdim=True) / 127
    with torch.no_grad():
        model.classifier.weight.copy_((weight / step).round() * step)
    images = torch.from_numpy(encoder([example.content for example in splits["test"]])["pixel_values"])
    assert torch.equal(model(images).argmax(1), torch.tensor([example.label for example in splits["test"]]))
    assert weight[:, 3:].abs().max() < 1e-3 * weight.abs().max()
