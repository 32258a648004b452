"""A mask that masks nothing goes; one that may mask something stays."""

import torch
from torch import Tensor

from edgeft.quant.bake import bake_constants
from edgeft.quant.uniform import drop_idle_masks
from tests.quant.small import Of, calls, captured

X = torch.randn(3, 2, 5, 5)
LOWEST = torch.finfo(torch.float32).min


def left(function, x: Tensor = X) -> list[str]:  # type: ignore[no-untyped-def]
    model = Of(function)
    graph = captured(model, x)
    bake_constants(graph)
    drop_idle_masks(graph)
    assert torch.equal(graph(x=x[:2]), model(x[:2]))
    return calls(graph)


def all_allowed(x: Tensor) -> Tensor:
    """As transformers makes it for a model called without an attention mask."""
    rows = torch.arange(x.shape[-1])[None, None, :, None] >= 0
    allowed = rows.expand(x.shape[0], -1, x.shape[-1], x.shape[-1])
    return torch.where(allowed, torch.zeros(()), LOWEST)


def test_a_mask_of_ones_goes() -> None:
    assert left(lambda m, x: (x + all_allowed(x)).softmax(-1)) == ["softmax.int"]
    assert left(lambda m, x: x * torch.ones_like(x)) == []
    assert left(lambda m, x: (1.0 - x.new_ones(x.shape[0], 1, 1, 5)) * -100 + x) != []  # more than is followed


def test_a_causal_mask_stays() -> None:
    def causal(m, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        allowed = torch.arange(5)[:, None] >= torch.arange(5)[None]
        return x + torch.where(allowed.expand(x.shape[0], 1, 5, 5), torch.zeros(()), LOWEST)

    assert "add.Tensor" in left(causal)


def test_a_sum_that_widens_stays() -> None:
    assert "add.Tensor" in left(lambda m, x: x[:, :1] + torch.zeros(x.shape[0], 2, 5, 5))
    assert "add.Tensor" in left(lambda m, x: x.sum((2, 3), keepdim=True) + torch.zeros(5))
