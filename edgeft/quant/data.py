"""Fake-quantizers for data whose range is taken while the model runs: nothing is calibrated, nothing is learned.

    block    s = max|block| / 127 for each block of neighbouring features, z = 0: what onnxruntime's MatMulNBits does to
             its data at accuracy_level 4 (quantization.md section 3)
    tensor   lo = min(0, min x), hi = max(0, max x): s = (hi - lo) / 255, z = round(-lo / s): ONNX DynamicQuantizeLinear

q = clamp(round_half_even(x / s) + z), y = (q - z) * s as everywhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edgeft.quant.ops import fq_dynamic
from edgeft.scheme import Grid


class StraightThrough(torch.autograd.Function):
    """Rounded values forward, the gradient unchanged backward: a range taken from the data clips nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def round_blocks(x: Tensor, block: int, qmax: int) -> Tensor:
    """x [..., K], K a multiple of `block`: every block of K on its own symmetric grid of -qmax .. qmax.

    The kernel multiplies by qmax / max, so this does too: of 1.3 million values no code differed from onnxruntime's,
    and one did with a division by the scale.
    """
    blocks = x.unflatten(-1, (-1, block))
    largest = blocks.abs().amax(-1, keepdim=True)
    inverse = torch.where(largest > 0, qmax / largest, largest)
    return (torch.round(blocks * inverse) * (largest / qmax)).flatten(-2)


def round_tensor(x: Tensor, levels: int, rows: bool) -> Tensor:
    """x on the affine grid of `levels` codes that just holds its values and 0.

    rows   each row of the first axis has a range of its own: what a device computes that answers them one by one
    """
    axes = list(range(1, x.dim())) if rows else list(range(x.dim()))
    low, high = x.amin(axes, keepdim=True).clamp(max=0), x.amax(axes, keepdim=True).clamp(min=0)
    scale = (high - low) / (levels - 1)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.round(-low / scale)
    return (torch.clamp(torch.round(x / scale) + zero, 0, levels - 1) - zero) * scale


class DataQuantizer(nn.Module):
    """Puts what a linear layer reads on a grid whose range the data itself gives.

    grid   with a block: the runtime's fused kernel rounds its data, and the file says nothing of it; else the file
           holds DynamicQuantizeLinear
    rows   the first axis is the batch (see round_tensor)
    modes  those of Quantizer; there is nothing to calibrate
    """

    def __init__(self, grid: Grid, rows: bool) -> None:
        super().__init__()
        self.grid, self.rows = grid, rows
        self.mode = "float"

    @property
    def in_kernel(self) -> bool:
        """The rounding happens inside the runtime's kernel, not in the file."""
        return self.grid.block > 0

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "float" or (self.mode == "export" and self.in_kernel):
            return x
        if self.mode == "export":
            exported: Tensor = fq_dynamic(x)
            return exported
        y: Tensor = StraightThrough.apply(x, self._round(x.detach()))
        return y

    def _round(self, x: Tensor) -> Tensor:
        if self.in_kernel:
            return round_blocks(x, self.grid.block, self.grid.qmax)
        return round_tensor(x, self.grid.levels, self.rows)
