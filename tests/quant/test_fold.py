"""Scales and shifts behind a product go into it: the numbers stay, the operators go. BatchNorm: test_engine.py."""

import pytest
import torch
from torch import nn

from edgeft.quant.fold import fold_affine, fold_batch_norm
from tests.quant.small import Of, calls, captured

SCALE = nn.Parameter(torch.tensor([0.5, -2.0, 3.0]))
SHIFT = nn.Parameter(torch.tensor([1.0, 2.0, -3.0]))
IMAGE, ROWS = torch.randn(2, 4, 5, 5), torch.randn(2, 6, 4)


def folded(model: nn.Module, x: torch.Tensor) -> list[str]:
    """The operators left; the numbers must be those of the model."""
    graph = captured(model, x)
    fold_affine(graph)
    with torch.no_grad():
        assert torch.allclose(graph(x=x), model(x), atol=1e-5)
    return calls(graph)


def conv() -> nn.Module:
    return nn.Conv2d(4, 3, 3, bias=False)


@pytest.mark.parametrize(
    "function, x, part",
    [
        (lambda m, x: m.part(x) * m.scale.reshape(1, -1, 1, 1) + m.shift[:, None, None], IMAGE, conv()),
        (lambda m, x: m.scale * m.part(x) + m.shift, ROWS, nn.Linear(4, 3)),
        (lambda m, x: m.part(x) / 8.0 + 1, ROWS, nn.Linear(4, 3, bias=False)),
        # channels first, channels last, and back (ConvNeXt)
        (lambda m, x: m.part(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) * m.scale[None, :, None, None], IMAGE,
         nn.Linear(4, 3)),
        (lambda m, x: m.part(x).transpose(1, 2) * m.scale[:, None], ROWS, nn.Linear(4, 3)),
    ],
    ids=["conv", "linear", "numbers", "turned", "transposed"],
)  # fmt: skip
def test_a_constant_per_channel_goes_into_the_product(function, x, part) -> None:  # type: ignore[no-untyped-def]
    from edgeft.quant.bake import bake_constants

    model = Of(function, part=part, scale=SCALE, shift=SHIFT)
    graph = captured(model, x)
    bake_constants(graph)
    fold_affine(graph)
    with torch.no_grad():
        assert torch.allclose(graph(x=x), model(x), atol=1e-5)
    assert not {"mul.Tensor", "add.Tensor", "div.Tensor"} & set(calls(graph))
    assert all(parameter.requires_grad for parameter in graph.parameters())


def test_weight_and_bias_by_hand() -> None:
    linear = nn.Linear(1, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
        linear.bias.copy_(torch.tensor([4.0, 5.0, 6.0]))
    graph = captured(Of(lambda m, x: m.part(x) * m.scale + m.shift, part=linear, scale=SCALE, shift=SHIFT),
                     torch.randn(2, 1))  # fmt: skip
    fold_affine(graph)
    found = dict(graph.named_parameters())
    assert found["linear_folded_weight"].tolist() == [[0.5], [-4.0], [9.0]]
    assert found["linear_folded_bias"].tolist() == [4 * 0.5 + 1, 5 * -2 + 2, 6 * 3 - 3]
    assert linear.weight.tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.part(x) * m.tokens,  # one number a token, not a channel
        lambda m, x: torch.relu(m.part(x)) * m.scale,
        lambda m, x: (y := m.part(x)) * m.scale + y,  # someone else reads the product
        lambda m, x: 2.0 / m.part(x),
    ],
    ids=["per token", "after relu", "two readers", "reciprocal"],
)
def test_anything_else_stays(function) -> None:  # type: ignore[no-untyped-def]
    tokens = nn.Parameter(torch.randn(6, 1))
    left = folded(Of(function, part=nn.Linear(4, 3), scale=SCALE, tokens=tokens), ROWS)
    assert {"mul.Tensor", "reciprocal"} & set(left)


def test_batchnorm_after_a_linear_layer() -> None:
    norm = nn.BatchNorm1d(3)
    norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    norm.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    model = Of(lambda m, x: m.norm(m.part(x)), part=nn.Linear(4, 3), norm=norm).eval()
    x = torch.randn(5, 4)
    graph = captured(model, x)
    assert fold_batch_norm(graph) == []
    assert calls(graph) == ["linear"]
    with torch.no_grad():
        assert torch.allclose(graph(x=x), model(x), atol=1e-6)
    # Over [batch, tokens, channels] BatchNorm1d takes the tokens for channels: that is no linear layer's output axis.
    tokens = Of(lambda m, x: m.norm(m.part(x)), part=nn.Linear(4, 5), norm=nn.BatchNorm1d(6)).eval()
    assert len(fold_batch_norm(captured(tokens, ROWS))) == 1
