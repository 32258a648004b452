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

    dtype        storage type: s4 u8 s8 u16 s16 s32
    qmin, qmax   bounds actually used (7-bit weights are s8 with -64..64)
    symmetric    zero_point is 0, and the range is taken as [-max|x|, max|x|]
    per_channel  one scale for each output channel instead of one for the tensor
    block        one scale for so many neighbouring input features (of each output channel, for a weight); 0 = none
    """

    dtype: str
    qmin: int
    qmax: int
    symmetric: bool = False
    per_channel: bool = False
    block: int = 0

    @property
    def bits(self) -> int:
        return int(self.dtype[1:])

    @property
    def levels(self) -> int:
        return self.qmax - self.qmin + 1


_S8 = Grid("s8", -127, 127, symmetric=True)
_S8_CHANNELS = Grid("s8", -127, 127, symmetric=True, per_channel=True)
# Products of u8 and s8 pairs overflow the 16-bit sums of VPMADDUBSW unless weights keep to 7 bits.
_7BIT_CHANNELS = Grid("s8", -64, 64, symmetric=True, per_channel=True)
# A block of 32: a scale of 32 bits for each adds one bit to each weight. 16 would add two, 64 and more lose accuracy.
_4BIT_BLOCKS = Grid("s4", -8, 7, symmetric=True, block=32)
_8BIT_BLOCKS = Grid("s8", -127, 127, symmetric=True, block=32)

# QNN has a hard-swish of its own; ONNX has no SiLU at all, and writes it in two parts.
_QNN = frozenset({"silu", "hardsigmoid", "addcmul", "roll"})


@dataclass(frozen=True)
class Scheme:
    """The arithmetic of one target (quantization.md section 5 has the sources, target by target).

    name           as the user types it
    title          one line for a person
    trained_as     schemes with the same value train the same numbers; only the stored dtype differs
    activation     grid of what flows between operators
    weight         grid of convolution weights
    linear_weight  grid of the weights of linear layers
    last_weight    grid of the weights of the last linear layer, where 4 bits cost most; None: linear_weight
    linear_data    grid of what a linear layer reads, with a range taken from the data while the model runs; None: the
                   grid its tensor has. It goes with weights of the same block: other layers read their tensor's grid
    table          grid of embedding tables, per tensor
    opset          lowest ONNX opset that can say this (quantization.md section 4.4: 20 for 8 bit)
    quantizes      "outputs": every tensor an operator writes is on a grid (onnxruntime's CPU kernels, QNN)
                   "inputs": only what products and residual sums read is (TensorRT)
                   "linear": weights of linear layers and tables are, and what these layers read while the model runs
    variant        what its files are called: variant-ptq (calibrated) and variant (trained)
    static_shapes  the target compiles for fixed sizes: one query at a time, texts padded to the longest
    pairs          every operator stands between quantized pairs of its own, moves of integers too (QNN)
    integer_bias   biases are int32 on the grid of the accumulator; else they stay float
    rewrites       operators written as others before quantizers are placed (edgeft.quant.rewrite): those the target has
                   no integer kernel for, but one for their parts
    float_answers  products of linear layers and attention may answer in float; what no product reads stays off the grid
    runs_on_cpu    onnxruntime's CPU provider has integer kernels for it, so that export can prove them here
    raised         grid of the activations of chosen layers (--raise 16bit), on targets with kernels for both widths
    """

    name: str
    title: str
    trained_as: str
    activation: Grid
    weight: Grid = _S8_CHANNELS
    linear_weight: Grid = _S8_CHANNELS
    last_weight: Grid | None = None
    linear_data: Grid | None = None
    table: Grid = _S8
    opset: int = 20
    quantizes: str = "outputs"
    variant: str = "int8"
    static_shapes: bool = False
    pairs: bool = False
    integer_bias: bool = True
    rewrites: frozenset[str] = frozenset({"silu", "hardswish", "hardsigmoid", "addcmul", "roll"})
    float_answers: bool = True
    runs_on_cpu: bool = True
    raised: Grid | None = None

    @property
    def rounds_in_kernel(self) -> bool:
        """The runtime's fused kernels round data that the file, run as written, does not round."""
        return self.linear_data is not None and self.linear_data.block > 0

    @property
    def one_by_one(self) -> bool:
        """A batch of several computes other numbers than its rows alone, or is not possible."""
        return self.static_shapes or (self.linear_data is not None and not self.rounds_in_kernel)


U8S8 = Scheme(
    name="u8s8",
    title="uint8 activations, int8 weights per channel",
    trained_as="affine-8bit",
    activation=Grid("u8", 0, 255),
)
U8S8_7BIT = Scheme(
    name="u8s8-7bit",
    title="uint8 activations, 7-bit weights per channel (x86 without VNNI)",
    trained_as="affine-8bit-7bit-weights",
    activation=Grid("u8", 0, 255),
    weight=_7BIT_CHANNELS,
    linear_weight=_7BIT_CHANNELS,
)
S8S8 = Scheme(
    name="s8s8",
    title="int8 activations, int8 weights per channel (ARM)",
    trained_as="affine-8bit",
    activation=Grid("s8", -128, 127),
)
S8S8_SYMMETRIC = Scheme(
    name="s8s8-symmetric",
    title="int8 activations and weights with zero point 0 (TensorRT)",
    trained_as="symmetric-8bit-inputs",
    activation=_S8,
    quantizes="inputs",
    integer_bias=False,
    rewrites=frozenset(),
    float_answers=False,
    runs_on_cpu=False,
)
_U16 = Grid("u16", 0, 65535)
U8U8 = Scheme(
    name="u8u8",
    title="uint8 activations, 8-bit weights, linear layers per tensor (QNN HTP)",
    trained_as="affine-8bit-linear-per-tensor",
    activation=Grid("u8", 0, 255),
    linear_weight=Grid("u8", 0, 255),
    table=Grid("u8", 0, 255),
    static_shapes=True,
    pairs=True,
    rewrites=_QNN,
    float_answers=False,
    raised=_U16,
)
U16S8 = Scheme(
    name="u16s8",
    title="uint16 activations, int8 weights, linear layers per tensor (QNN HTP)",
    trained_as="affine-16bit",
    activation=_U16,
    linear_weight=_S8,
    table=Grid("u16", 0, 65535),
    opset=21,
    static_shapes=True,
    pairs=True,
    rewrites=_QNN,
    float_answers=False,
    runs_on_cpu=False,
)
# Weights of linear layers only, whose data is quantized while the model runs: no range of an activation is calibrated.
U8S8_DYNAMIC = Scheme(
    name="u8s8-dynamic",
    title="int8 weights of linear layers, uint8 data with ranges taken at run time",
    trained_as="dynamic-8bit",
    activation=Grid("u8", 0, 255),
    linear_data=Grid("u8", 0, 255),
    quantizes="linear",
    integer_bias=False,
)
U8S8_7BIT_DYNAMIC = Scheme(
    name="u8s8-7bit-dynamic",
    title="7-bit weights of linear layers, uint8 data with ranges taken at run time (x86 without VNNI)",
    trained_as="dynamic-8bit-7bit-weights",
    activation=Grid("u8", 0, 255),
    linear_weight=_7BIT_CHANNELS,
    linear_data=Grid("u8", 0, 255),
    quantizes="linear",
    integer_bias=False,
)
INT4 = Scheme(
    name="int4",
    title="4-bit weights of linear layers in blocks of 32, the last layer's 8 bits, int8 data in blocks at run time",
    trained_as="4bit-blocks",
    activation=Grid("u8", 0, 255),
    linear_weight=_4BIT_BLOCKS,
    last_weight=_8BIT_BLOCKS,
    linear_data=_8BIT_BLOCKS,
    opset=21,
    quantizes="linear",
    variant="int4",
    integer_bias=False,
)
U8S8_INT4 = Scheme(
    name="u8s8-int4",
    title="as u8s8, but linear layers that can read float data have 4-bit weights in blocks of 32",
    trained_as="affine-8bit-4bit-blocks",
    activation=Grid("u8", 0, 255),
    linear_weight=_4BIT_BLOCKS,
    last_weight=_S8_CHANNELS,
    linear_data=_8BIT_BLOCKS,
    opset=21,
    variant="int4",
)

# Weights of so many levels (7 bits) keep a calibrated model's accuracy; coarser ones are trained for
# (quantization.md section 7: learned steps from 4 bits down).
_FINE_WEIGHTS = 128


def way_to(trained: Scheme, target: Scheme) -> str:
    """What a run that was trained for `trained` needs to compute as `target` does.

    "export"     they are the same numbers
    "calibrate"  the same tensors lie on grids of the same form, no activation on a coarser one; weights differ, and are
                 no coarser or fine enough: new ranges are enough, and the trained weights are not used
    "train"      anything else
    """
    if trained.trained_as == target.trained_as:
        return "export"
    same_places = trained.quantizes == target.quantizes and trained.integer_bias == target.integer_bias
    one, other = trained.activation, target.activation
    activations = one.symmetric == other.symmetric and other.levels >= one.levels
    pairs = ((trained.weight, target.weight), (trained.linear_weight, target.linear_weight))
    weights = all(new.levels >= min(old.levels, _FINE_WEIGHTS) for old, new in pairs)
    return "calibrate" if same_places and activations and weights else "train"


SCHEMES = Registry(
    "scheme",
    {
        "u8s8": "edgeft.scheme:U8S8",
        "u8s8-7bit": "edgeft.scheme:U8S8_7BIT",
        "s8s8": "edgeft.scheme:S8S8",
        "s8s8-symmetric": "edgeft.scheme:S8S8_SYMMETRIC",
        "u8u8": "edgeft.scheme:U8U8",
        "u16s8": "edgeft.scheme:U16S8",
        "u8s8-dynamic": "edgeft.scheme:U8S8_DYNAMIC",
        "u8s8-7bit-dynamic": "edgeft.scheme:U8S8_7BIT_DYNAMIC",
        "int4": "edgeft.scheme:INT4",
        "u8s8-int4": "edgeft.scheme:U8S8_INT4",
    },
)
