"""Operators written as others: the same numbers, by operators that have integer kernels."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgeft.quant.rewrite import PLAIN, REWRITES, rewrite
from tests.quant.small import Of, calls, captured

IMAGE = torch.randn(2, 4, 6, 8) * 3


def rewritten(function, x: torch.Tensor = IMAGE, **parts: nn.Module) -> list[str]:  # type: ignore[no-untyped-def]
    """The operators called instead; the numbers must be the same."""
    model = Of(function, **parts).eval()
    graph = captured(model, x)
    rewrite(graph, REWRITES)
    with torch.no_grad():
        for rows in (x, x[:1]):
            assert torch.allclose(graph(x=rows), model(rows), atol=1e-5)
    assert all("val" in node.meta for node in graph.graph.nodes if node.op != "output")
    return calls(graph)


def test_gated_functions_are_products() -> None:
    assert rewritten(lambda m, x: F.silu(x)) == ["sigmoid", "mul.Tensor"]
    assert rewritten(lambda m, x: F.hardswish(x)) == ["hardsigmoid", "mul.Tensor"]


def test_hard_sigmoid_of_a_product_is_a_clip() -> None:
    part = nn.Conv2d(4, 3, 1)
    assert rewritten(lambda m, x: F.hardsigmoid(m.part(x)), part=part) == ["conv2d", "clamp"]
    assert rewritten(lambda m, x: F.hardsigmoid(m.part(x)), part=nn.Conv2d(4, 3, 1, bias=False)) == ["conv2d", "clamp"]
    assert rewritten(lambda m, x: F.hardsigmoid(x)) == ["hardsigmoid"]
    assert rewritten(lambda m, x: F.hardsigmoid(y := m.part(x)) + y, part=part)[1] == "hardsigmoid"


@pytest.mark.parametrize("shifts, axes", [((-3, 2), (2, 3)), (1, 1), (-7, 2), (0, 2)])
def test_roll_is_slices_in_another_order(shifts, axes) -> None:  # type: ignore[no-untyped-def]
    assert set(rewritten(lambda m, x: torch.roll(x, shifts, axes) + 1)) <= {"slice.Tensor", "cat", "add.Tensor"}


def test_roll_over_a_free_size_stays() -> None:
    graph = captured(Of(lambda m, x: torch.roll(x, 1, 0)), IMAGE)
    rewrite(graph, REWRITES)
    assert calls(graph) == ["roll"]


def test_addcmul_is_a_product_and_a_sum() -> None:
    assert rewritten(lambda m, x: torch.addcmul(x, x, x)) == ["mul.Tensor", "add.Tensor"]
    assert rewritten(lambda m, x: torch.addcmul(x, x, x, value=2)) == ["addcmul"]


@pytest.mark.parametrize(
    "pool",
    [
        nn.AdaptiveAvgPool2d(1),
        nn.AvgPool2d((6, 8)),
        nn.AvgPool2d(9, ceil_mode=True),  # larger than the image, as in transformers' EfficientNet
    ],
    ids=str,
)
def test_a_pool_to_one_value_is_a_mean(pool: nn.Module) -> None:
    assert rewritten(lambda m, x: m.pool(x), pool=pool) == ["mean.dim"]


@pytest.mark.parametrize(
    "pool", [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.AvgPool2d(8, padding=(1, 0)),
             nn.AvgPool2d((6, 8), divisor_override=3)], ids=str
)  # fmt: skip
def test_other_pools_stay(pool: nn.Module) -> None:
    assert "mean.dim" not in rewritten(lambda m, x: m.pool(x), pool=pool)


def test_a_mean_over_time() -> None:
    assert rewritten(lambda m, x: F.adaptive_avg_pool1d(x, 1), torch.randn(2, 3, 7)) == ["mean.dim"]
    assert REWRITES.keys() >= PLAIN
