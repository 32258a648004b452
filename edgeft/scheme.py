"""How numbers are stored and computed on a target, as data.

A hardware profile names one scheme. `edgeft tune` shapes its fake-quantizers by it and `edgeft export` its
QuantizeLinear/DequantizeLinear nodes, so the two cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.registry import Registry

# Smallest scale a quantizer may have: a channel of zeros must not divide by zero.
MIN_SCALE = 1e-8


@dataclass(frozen=True)
class Grid:
    """A number grid: x is stored as q = clamp(round(x / scale) + zero_point, qmin, qmax).

    dtype        storage type: u8 s8 u16 s16 s32
    qmin, qmax   bounds actually used (7-bit weights are s8 with -64..64)
    symmetric    zero_point is 0, and the range is taken as [-max|x|, max|x|]
    per_channel  one scale for each output channel instead of one for the tensor
    """

    dtype: str
    qmin: int
    qmax: int
    symmetric: bool = False
    per_channel: bool = False

    @property
    def bytes_per_value(self) -> int:
        return int(self.dtype[1:]) // 8


@dataclass(frozen=True)
class Scheme:
    """The arithmetic of one target.

    name        as the user types it
    title       one line for a person
    activation  grid of what flows between operators
    weight      grid of convolution and linear weights (and, per tensor, of embedding tables)
    opset       lowest ONNX opset that can say this (quantization.md section 4.4: 20 for 8 bit)
    trained_as  schemes with the same value train the same numbers; only the stored dtype differs
    """

    name: str
    title: str
    activation: Grid
    weight: Grid
    opset: int
    trained_as: str


_WEIGHT_S8 = Grid("s8", -127, 127, symmetric=True, per_channel=True)
# Products of u8 and s8 pairs overflow the 16-bit sums of VPMADDUBSW unless weights keep to 7 bits.
_WEIGHT_7BIT = Grid("s8", -64, 64, symmetric=True, per_channel=True)

U8S8 = Scheme(
    name="u8s8",
    title="uint8 activations, int8 weights per channel",
    activation=Grid("u8", 0, 255),
    weight=_WEIGHT_S8,
    opset=20,
    trained_as="affine-8bit",
)
U8S8_7BIT = Scheme(
    name="u8s8-7bit",
    title="uint8 activations, 7-bit weights per channel (x86 without VNNI)",
    activation=Grid("u8", 0, 255),
    weight=_WEIGHT_7BIT,
    opset=20,
    trained_as="affine-8bit-7bit-weights",
)
S8S8 = Scheme(
    name="s8s8",
    title="int8 activations, int8 weights per channel (ARM)",
    activation=Grid("s8", -128, 127),
    weight=_WEIGHT_S8,
    opset=20,
    trained_as="affine-8bit",
)

SCHEMES = Registry(
    "scheme",
    {
        "u8s8": "edgeft.scheme:U8S8",
        "u8s8-7bit": "edgeft.scheme:U8S8_7BIT",
        "s8s8": "edgeft.scheme:S8S8",
    },
)
