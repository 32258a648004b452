"""Fake-quantizers: the modules the engine puts on the edges of a captured graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from edgeft.quant.observe import METHODS, Range, RangeObserver, collapsed
from edgeft.quant.ops import DTYPE_CODES, FakeQuantize, RoundBias, along, fq
from edgeft.scheme import MIN_SCALE, Grid

MODES = ("float", "watch", "calibrate", "train", "export")


class Quantizer(nn.Module):
    """Puts a tensor on a grid.

    grid   the numbers it may take
    axis   channel axis of the tensor when the grid is per channel
    fixed  (scale, zero point) that the operator dictates (softmax), never calibrated or trained
    clip   bounds of a clip before the quantizer: the grid stays within them, so that the device can drop the clip
    whole_range  nothing is clipped whatever the calibration method: for weights, all of which are known
    constant     it reads a parameter, which calibration needs to look at only once
    modes  float (identity) · watch (note what comes) · calibrate (watch, then quantize with the range so far) · train ·
           export

    scale is float32, rank 0 per tensor or [C] per channel; zero_point is int32 of the same shape.
    """

    scale: nn.Parameter
    zero_point: Tensor

    def __init__(
        self,
        grid: Grid,
        channels: int | None = None,
        axis: int = 0,
        fixed: tuple[float, int] | None = None,
        clip: tuple[float, float] | None = None,
        whole_range: bool = False,
        constant: bool = False,
    ) -> None:
        super().__init__()
        self.grid, self.axis, self.fixed, self.clip, self.whole_range = grid, axis, fixed, clip, whole_range
        self.constant = constant
        shape = [channels] if grid.per_channel and channels is not None else []
        scale, zero_point = fixed if fixed is not None else (1.0, 0)
        self.scale = nn.Parameter(torch.full(shape, float(scale)), requires_grad=fixed is None)
        self.register_buffer("zero_point", torch.full(shape, int(zero_point), dtype=torch.int32))
        self.ready = fixed is not None
        self.mode = "float"
        self.observer: RangeObserver | None = None
        self.method = "minmax"
        self._refresh()

    def regrid(self, grid: Grid, fixed: tuple[float, int] | None) -> None:
        """Take another per-tensor grid, before calibration."""
        self.grid, self.fixed = grid, fixed
        self.ready = fixed is not None
        self.scale.requires_grad_(fixed is None)
        if fixed is not None:
            self.scale.data.fill_(fixed[0])
            self.zero_point.fill_(fixed[1])
        self._refresh()

    def _refresh(self) -> None:
        """The bounds after the zero point is taken off, as plain numbers: a zero point is never trained."""
        zero = 0 if self.zero_point.dim() else int(self.zero_point)
        self._low, self._high = float(self.grid.qmin - zero), float(self.grid.qmax - zero)
        self._largest = _largest_scale(self.clip, self._low, self._high)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.ready = True
        self._refresh()

    def forward(self, x: Tensor) -> Tensor:
        return _FORWARD[self.mode](self, x)

    def _watch(self, x: Tensor) -> Tensor:
        if self.fixed is not None or (self.constant and self.observer is not None):
            return x
        if self.grid.per_channel:
            self.set_from_weight(x)
        else:
            self.observer = self.observer or RangeObserver()
            self.observer.add(x)
        return x

    def _calibrate(self, x: Tensor) -> Tensor:
        self._watch(x)
        self.settle()
        return self._train(x)

    def settle(self) -> None:
        """Set the range from what was watched so far."""
        if self.observer is not None:
            method = "minmax" if self.whole_range else self.method
            self.set_range(METHODS[method](self.observer, self.grid.levels))

    def _train(self, x: Tensor) -> Tensor:
        axis = self.axis if self.grid.per_channel else 0
        y: Tensor = FakeQuantize.apply(x, self.scale, self._low, self._high, axis, self.grid.qmax)
        return y

    def _export(self, x: Tensor) -> Tensor:
        axis = self.axis if self.grid.per_channel else -1
        y: Tensor = fq(x, self.scale, self.zero_point, axis, DTYPE_CODES[self.grid.dtype])
        return y

    def spread(self, weight: Tensor) -> Tensor:
        """The scale, shaped so that it multiplies `weight`."""
        return along(self.scale, self.axis, weight.dim())

    @torch.no_grad()
    def set_from_weight(self, weight: Tensor) -> None:
        """Scale of each channel from its largest magnitude; a channel of zeros gets the smallest scale."""
        axes = [i for i in range(weight.dim()) if i != self.axis]
        largest = weight.detach().abs().amax(axes) if axes else weight.detach().abs()
        self.scale.copy_((largest / self.grid.qmax).clamp_(min=MIN_SCALE))
        self.ready = True

    @torch.no_grad()
    def set_range(self, bounds: Range) -> None:
        """Scale and zero point of a range, widened so that zero has an exact code."""
        low, high = min(0.0, bounds[0]), max(0.0, bounds[1])
        qmin, qmax = self.grid.qmin, self.grid.qmax
        if self.grid.symmetric:
            scale = max(-low, high) / qmax
        else:
            scale = (high - low) / (qmax - qmin)
        self.scale.fill_(max(scale, MIN_SCALE))
        if not self.grid.symmetric:
            stored = float(self.scale)
            self.zero_point.fill_(max(qmin, min(qmax, qmin - round(low / stored))))
        self.ready = True
        self._refresh()
        self.clamp()

    def crowded(self) -> int | None:
        """While calibrated: how many codes nearly all values share, when outliers left them so few; else None."""
        if self.observer is None or self.constant:
            return None
        return collapsed(self.observer, float(self.scale))

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep a trained scale in its bounds; call after each optimizer step."""
        if self.fixed is None:
            self.scale.clamp_(MIN_SCALE, self._largest)


def _largest_scale(clip: tuple[float, float] | None, low: float, high: float) -> float:
    """Largest scale at which the codes `low` .. `high` (zero point taken off) lie within a clip's bounds.

    The device drops a clip when rint(bound / scale) reaches the last code on that side (quantization.md 4.2). A side
    on which zero itself lies beyond the bound can never be dropped, and asks for nothing.
    """
    sides = [] if clip is None else [(clip[0], low), (clip[1], high)]
    return min((bound / code for bound, code in sides if bound * code > 0), default=math.inf)


_FORWARD: dict[str, Callable[[Quantizer, Tensor], Tensor]] = {
    "float": lambda quantizer, x: x,
    "watch": lambda quantizer, x: quantizer._watch(x),
    "calibrate": lambda quantizer, x: quantizer._calibrate(x),
    "train": lambda quantizer, x: quantizer._train(x),
    "export": lambda quantizer, x: quantizer._export(x),
}


class SameGrid(nn.Module):
    """Says again, after a tensor was only moved, which quantizer's grid it lies on.

    Its values are on that grid already, so in training it does nothing; on export it writes the pair with the same
    scale that lets the device drop the conversions around the move.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        # In a tuple, so that the quantizer is not registered (and saved) a second time under this module.
        self._of = (quantizer,)
        self.mode = "float"

    @property
    def quantizer(self) -> Quantizer:
        return self._of[0]

    def follow(self, old: Quantizer, new: Quantizer) -> None:
        """Say `new` where this said `old`."""
        self._of = (new,) if self.quantizer is old else self._of

    def forward(self, x: Tensor) -> Tensor:
        return self.quantizer._export(x) if self.mode == "export" else x


class BiasQuantizer(nn.Module):
    """Puts a bias on the grid of the accumulator it is added to: s_b = s_x * s_w, int32, zero point 0.

    It owns no numbers. It is the identity but in train mode: at export the int32 bias is computed from the scales
    in the file, so that there is one source of truth.
    """

    def __init__(self, data: Quantizer, weight: Quantizer, factor: float = 1.0) -> None:
        super().__init__()
        # In a tuple, so that the two are not registered (and saved) a second time under this module.
        self._scales_of = (data, weight)
        self.factor = factor
        self.mode = "float"

    def scale(self) -> Tensor:
        """s_b, [C], float32: the product is rounded to float32 as the file's is."""
        data, weight = self._scales_of
        return (data.scale.detach() * self.factor) * weight.scale.detach()

    def follow(self, old: Quantizer, new: Quantizer) -> None:
        """Take the scale of the data from `new` where it was `old`'s."""
        data, weight = self._scales_of
        self._scales_of = (new if data is old else data, weight)

    def read(self, data: Quantizer) -> None:
        """The layer reads `data` itself from now on."""
        self._scales_of, self.factor = (data, self._scales_of[1]), 1.0

    def forward(self, bias: Tensor) -> Tensor:
        if self.mode != "train":
            return bias
        rounded: Tensor = RoundBias.apply(bias, self.scale())
        return rounded

    @torch.no_grad()
    def fit(self, bias: Tensor) -> None:
        """Enlarge the weight scale of channels whose bias would not fit int32 (a channel of zero weights)."""
        data, weight = self._scales_of
        # 2**30 and not 2**31 - 1: the scale of the data may shrink a little while it is trained.
        least = bias.detach().abs() / (data.scale.detach() * self.factor * 2.0**30)
        least = least if weight.scale.dim() else least.max()
        weight.scale.copy_(torch.maximum(weight.scale, least.to(weight.scale.dtype)))
