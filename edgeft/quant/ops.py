"""Fake-quantization arithmetic: one forward for training, one operator for export.

    q = clamp(round_half_even(x / s) + z, qmin, qmax)         y = (q - z) * s

The division is written as a division on purpose. torch's own kernels multiply by 1/s, and at rounding ties that
gives the neighbouring integer of the one onnxruntime's QuantizeLinear gives.

Gradients: straight-through inside the range, and learned step sizes (LSQ, Esser et al., arXiv 1902.08153) with the
gradient scale 1 / sqrt(numel * qmax) of that paper.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Codes of the storage types in the exported operator; exporting/translate.py holds their ONNX types.
DTYPE_CODES = {"u8": 0, "s8": 1, "u16": 2, "s16": 3, "s32": 4, "s4": 5}
DTYPE_BOUNDS = {
    0: (0, 255), 1: (-128, 127), 2: (0, 65535), 3: (-32768, 32767), 4: (-(2**31), 2**31 - 1), 5: (-8, 7),
}  # fmt: skip


def along(values: Tensor, axis: int, rank: int) -> Tensor:
    """Shape a [C] tensor so that it multiplies axis `axis` of a tensor of `rank`; a rank-0 tensor stays as it is."""
    if values.dim() == 0:
        return values
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


class FakeQuantize(torch.autograd.Function):
    """y = clamp(round(x / s), low, high) * s, with low = qmin - z and high = qmax - z.

    x      any shape, float; scale rank 0, or [C] with `axis` the channel axis of x
    low, high  bounds of the integer after the zero point is taken off, so that y needs one multiplication only
    qmax   largest code, for the gradient scale of the step size
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: float, high: float, axis: int, qmax: int) -> Tensor:
        s = along(scale, axis, x.dim())
        r = (x / s).round_()
        y = r.clamp(low, high)
        inside = r.eq_(y).bool()
        y.mul_(s)
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(inside, x, y, scale)
        elif ctx.needs_input_grad[0]:
            ctx.save_for_backward(inside)
        ctx.axis, ctx.qmax = axis, qmax
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (dy,) = grads
        saved = ctx.saved_tensors
        dx = dy * saved[0]
        if len(saved) == 1:
            return dx, None, None, None, None, None
        _, x, y, scale = saved
        ds = _step_gradient(dy, dx, x, y, scale, ctx.axis) * (dy.numel() * ctx.qmax) ** -0.5
        return dx, ds, None, None, None, None


def _step_gradient(dy: Tensor, dx: Tensor, x: Tensor, y: Tensor, scale: Tensor, axis: int) -> Tensor:
    """sum of dy * d y / d s. That slope is (y - x) / s inside the range and y / s outside it, so with dx = dy inside
    and 0 outside the sum is  [ dx . (y - x)  +  (dy - dx) . y ] / s:  dot products, which make no copies."""
    if scale.dim():
        axes = [i for i in range(x.dim()) if i != axis % x.dim()]
        total: Tensor = (dx * (y - x) + (dy - dx) * y).sum(axes)
    else:
        dy, dx, y, error = _flat(dy, dx, y, y - x)
        # With nothing outside dy and dx are equal and the last two products cancel exactly.
        total = torch.dot(dx, error) + torch.dot(dy, y) - torch.dot(dx, y)
    return total / scale


def _flat(*tensors: Tensor) -> list[Tensor]:
    """The tensors as vectors in one order of elements, without copies when they share a memory layout."""
    if all(t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last) for t in tensors):
        tensors = tuple(t.permute(0, 2, 3, 1) for t in tensors)
    return [t.reshape(-1) for t in tensors]


class RoundBias(torch.autograd.Function):
    """clamp(round(b / s), -(2**31 - 1), 2**31 - 1) * s with a straight-through gradient; b and s are [C].

    Computed in float64: an int32 code does not fit the 24 bits of a float32.
    """

    @staticmethod
    def forward(ctx: Any, bias: Tensor, scale: Tensor) -> Tensor:
        wide = scale.double()
        code = torch.round(bias.double() / wide).clamp_(-(2**31 - 1), 2**31 - 1)
        return (code * wide).to(bias.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        return grads[0], None


@torch.library.custom_op("edgeft::fq", mutates_args=())
def fq(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, dtype: int) -> Tensor:
    """The operator that exports as QuantizeLinear, DequantizeLinear; `dtype` is a code of DTYPE_CODES."""
    qmin, qmax = DTYPE_BOUNDS[dtype]
    s = along(scale, axis, x.dim())
    z = along(zero_point, axis, x.dim()).to(x.dtype)
    code = torch.clamp(torch.round(x / s) + z, qmin, qmax)
    return (code - z) * s


@fq.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, dtype: int) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("edgeft::fq_blocks", mutates_args=())
def fq_blocks(weight: Tensor, scale: Tensor, dtype: int) -> Tensor:
    """The same for a weight [out, in] with scales [out, in / block] and zero points of 0; the last axis is blocked."""
    qmin, qmax = DTYPE_BOUNDS[dtype]
    blocks = weight.unflatten(-1, (scale.shape[-1], -1))
    s = scale.unsqueeze(-1)
    return (torch.clamp(torch.round(blocks / s), qmin, qmax) * s).flatten(-2)


@fq_blocks.register_fake
def _(weight: Tensor, scale: Tensor, dtype: int) -> Tensor:
    return torch.empty_like(weight)


@torch.library.custom_op("edgeft::fq_dynamic", mutates_args=())
def fq_dynamic(x: Tensor) -> Tensor:
    """The operator that exports as DynamicQuantizeLinear, DequantizeLinear: uint8, range from the whole tensor."""
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    s = (high - low) / 255
    s = torch.where(s == 0, torch.ones_like(s), s)
    z = torch.round(-low / s)
    return (torch.clamp(torch.round(x / s) + z, 0, 255) - z) * s


@fq_dynamic.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)
