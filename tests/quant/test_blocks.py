"""Weights in blocks: scales by hand, the grid that is exported, and what learns."""

from __future__ import annotations

import pytest
import torch

from edgeft.quant.blocks import BlockQuantizer
from edgeft.quant.ops import DTYPE_CODES, fq_blocks
from edgeft.scheme import INT4, MIN_SCALE, Grid

PAIRS = Grid("s4", -8, 7, symmetric=True, block=2)


def calibrated(weight: torch.Tensor, method: str, grid: Grid = PAIRS) -> BlockQuantizer:
    quantizer = BlockQuantizer(grid, *weight.shape)
    quantizer.method, quantizer.mode = method, "calibrate"
    quantizer(weight)
    quantizer.mode = "train"
    return quantizer


def test_minmax_scales_and_codes_by_hand() -> None:
    # blocks [0.7, -0.32] and [0, 0] of one output, [1.4, 1.4] and [-3.5, 0.6] of the other: max / 7
    weight = torch.tensor([[0.7, -0.32, 0.0, 0.0], [1.4, 1.4, -3.5, 0.6]])
    quantizer = calibrated(weight, "minmax")
    assert quantizer.scale.flatten().tolist() == pytest.approx([0.1, MIN_SCALE, 0.2, 0.5])
    expected = torch.tensor([[0.7, -0.3, 0.0, 0.0], [1.4, 1.4, -3.5, 0.5]])
    assert torch.allclose(quantizer(weight), expected)


def test_least_squares_may_use_the_code_that_has_no_positive_twin() -> None:
    # [-8, 3] is exact with scale 1, whereas max / 7 = 1.142857 gives [-8, 3.43]
    weight = torch.tensor([[-8.0, 3.0]])
    assert calibrated(weight, "mse").scale.item() == pytest.approx(1.0, rel=0.02)
    assert calibrated(weight, "minmax").scale.item() == pytest.approx(8 / 7)


def test_least_squares_is_never_worse_than_minmax() -> None:
    weight = torch.randn(64, 256)
    errors = {
        method: (calibrated(weight, method, INT4.linear_weight)(weight) - weight).square().sum(1).tolist()
        for method in ("minmax", "mse")
    }
    assert all(mse <= minmax for mse, minmax in zip(errors["mse"], errors["minmax"], strict=True))
    # by the uniform error of a step s, s * s / 12, blocks of 32 normal values have about 0.3 squared steps
    assert sum(errors["mse"]) < 0.93 * sum(errors["minmax"])


def test_training_and_export_put_a_weight_on_the_same_grid() -> None:
    weight = torch.randn(8, 64)
    quantizer = calibrated(weight, "mse", INT4.linear_weight)
    weight = weight.clamp(-quantizer.spread(weight) * 8, quantizer.spread(weight) * 7)
    exported = fq_blocks(weight, quantizer.scale, DTYPE_CODES["s4"])
    assert torch.equal(quantizer(weight), exported)
    assert quantizer.spread(weight).shape == (8, 64)
    assert torch.equal(quantizer.spread(weight)[:, 31], quantizer.scale[:, 0])


def test_gradient_of_a_block_scale_is_that_of_learned_step_sizes() -> None:
    # w = [0.26, 2.0], s = 0.1: codes 3 (inside) and 7 (clipped). LSQ: ds = (3 - 2.6) + 7, times (2 * 7) ** -0.5
    quantizer = BlockQuantizer(PAIRS, 1, 2)
    quantizer.mode = "train"
    with torch.no_grad():
        quantizer.scale.fill_(0.1)
    weight = torch.tensor([[0.26, 2.0]], requires_grad=True)
    quantizer(weight).sum().backward()
    assert quantizer.scale.grad is not None and weight.grad is not None
    assert quantizer.scale.grad.item() == pytest.approx((0.4 + 7) * 14**-0.5, rel=1e-4)
    assert weight.grad.tolist() == [[1.0, 0.0]]
