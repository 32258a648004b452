"""The fake-quantizer of a linear weight with one scale for each block of neighbouring input features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeft.quant.ops import DTYPE_CODES, FakeQuantize, fq_blocks
from edgeft.quant.quantizer import Quantizer
from edgeft.scheme import MIN_SCALE, Grid

# Shares of the full range tried for each block. At 8/7 a 4-bit grid reaches its extreme on the negative side, -8.
_SHARES = torch.linspace(0.6, 8 / 7, 39)


class BlockQuantizer(Quantizer):
    """Puts a weight [out, in] on a symmetric grid, `in` a multiple of grid.block; scale is [out, in / block].

    Calibrated by "minmax" a scale is max|block| / qmax; by any other method it is the one with the smallest squared
    error of the block, of 39 between 0.6 and 8/7 times that.
    """

    def __init__(self, grid: Grid, outputs: int, inputs: int) -> None:
        super().__init__(grid, whole_range=True)
        self.scale = nn.Parameter(torch.ones(outputs, inputs // grid.block))

    def _calibrate(self, x: Tensor) -> Tensor:
        self.set_from_weight(x)
        return self._train(x)

    def _train(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.grid.block)
        y: Tensor = FakeQuantize.apply(flat, self.scale.reshape(-1), self._low, self._high, 0, self.grid.qmax)
        return y.reshape(x.shape)

    def _export(self, x: Tensor) -> Tensor:
        y: Tensor = fq_blocks(x, self.scale, DTYPE_CODES[self.grid.dtype])
        return y

    def spread(self, weight: Tensor) -> Tensor:
        return self.scale.repeat_interleave(self.grid.block, 1)

    @torch.no_grad()
    def set_from_weight(self, weight: Tensor) -> None:
        blocks = weight.detach().unflatten(1, (-1, self.grid.block))
        scale = (blocks.abs().amax(-1) / self.grid.qmax).clamp_(min=MIN_SCALE)
        self.scale.copy_(scale if self.method == "minmax" else self._least_squares(blocks, scale))
        self.ready = True

    def _least_squares(self, blocks: Tensor, full: Tensor) -> Tensor:
        best, least = full.clone(), torch.full_like(full, float("inf"))
        for share in _SHARES.tolist():
            scale = (full * share).clamp_(min=MIN_SCALE)
            s = scale.unsqueeze(-1)
            error = (torch.round(blocks / s).clamp_(self.grid.qmin, self.grid.qmax) * s - blocks).square_().sum(-1)
            better = error < least
            best, least = torch.where(better, scale, best), torch.where(better, error, least)
        return best
