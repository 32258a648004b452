"""What the engine knows of ATen operators: one table, by name (quantization.md 2.5).

A name is the operator without `aten.` and without `.default`; an in-place variant counts as its plain form.
An operator in none of these sets stays float and is listed in the coverage report.
"""

from __future__ import annotations

from collections.abc import Callable

from torch.fx import Node

from edgeft.scheme import Grid

WEIGHTED = frozenset({"conv1d", "conv1d.padding", "conv2d", "conv2d.padding", "linear"})
# One operator of ours for an attention layer (edgeft.quant.attention).
ATTENTION = "edgeft.attention.default"
CONVOLUTION = WEIGHTED - {"linear"}
MATMUL = frozenset({"matmul", "bmm"})
BINARY = frozenset({"add.Tensor", "mul.Tensor"})
CLIP = frozenset({"relu", "relu6", "hardtanh", "clamp", "clamp_min"})
OWN = frozenset(
    {
        "softmax.int", "sigmoid", "tanh", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "layer_norm",
        "group_norm", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "mean.dim", "cat",
        "embedding", "scaled_dot_product_attention", ATTENTION,
    }
)  # fmt: skip
# Operators of which onnxruntime has an integer kernel only when what they write is quantized (quantization.md 4.2),
# and which may not stay float beside integer ones, as those of FLOAT_ANSWERS may.
INTEGER_OUTPUT = CONVOLUTION | {"sigmoid", "leaky_relu", "avg_pool2d", "adaptive_avg_pool2d", "mean.dim", "cat"}
VIEW = frozenset(
    {
        "view", "reshape", "flatten.using_ints", "unflatten.int", "permute", "transpose.int", "movedim.int", "t",
        "expand", "expand_as", "repeat", "slice.Tensor", "select.int", "narrow", "index_select", "gather", "unsqueeze",
        "squeeze", "squeeze.dim", "squeeze.dims", "max_pool1d", "max_pool2d", "getitem",
    }
)  # fmt: skip
LIST = frozenset({"unbind.int", "chunk", "split.Tensor", "split_with_sizes"})
# Operators of token models whose kernels answer in float, or compute in float anyway.
FLOAT_ANSWERS = frozenset(
    {"linear", "matmul", "bmm", "add.Tensor", "mul.Tensor", "layer_norm", "gelu", "softmax.int", "tanh", "embedding",
     ATTENTION}
)
# Looked through and left bare: they vanish on export.
THROUGH = frozenset({"contiguous", "clone", "alias", "detach", "dropout"})
# A move when it pads with zeros; looked through when the convolutions or maxima that read it take it in.
PAD = frozenset({"pad", "constant_pad_nd"})
MAXIMUM = frozenset({"max_pool1d", "max_pool2d"})
# Multiplication by a positive constant moves the scale and leaves the codes: no quantizer of its own.
RESCALE = frozenset({"mul.Tensor", "mul.Scalar", "div.Tensor", "div.Scalar"})
# Put a mask's value in place of a score.
MASKING = frozenset({"masked_fill.Scalar", "masked_fill.Tensor", "where.self", "where.ScalarOther", "where.ScalarSelf"})
# Read the shape of a tensor and nothing of what it holds.
SHAPE_ONLY = frozenset(
    {"new_ones", "new_zeros", "new_full", "new_empty", "ones_like", "zeros_like", "full_like", "empty_like"}
)
# Between a mask's addition and its softmax, beside VIEW.
CAST = frozenset({"_to_copy", "to.dtype", "type_as", "dropout", "contiguous", "clone", "alias", "detach"})


def _unit(grid: Grid) -> tuple[float, int]:
    """[0, 1): softmax and sigmoid never reach 1, and a power of two is what kernels expect."""
    return 1 / grid.levels, grid.qmin


def _closed_unit(grid: Grid) -> tuple[float, int]:
    return 1 / (grid.levels - 1), grid.qmin


def _both_signs(grid: Grid) -> tuple[float, int] | None:
    """[-1, 1) in 16 bits as QNN wants it; 8-bit kernels take any range."""
    return (2 / grid.levels, grid.qmin + grid.levels // 2) if grid.levels > 256 else None


# Output grids the operator itself dictates: (scale, zero point), or none for this grid.
FIXED: dict[str, Callable[[Grid], tuple[float, int] | None]] = {
    "softmax.int": _unit,
    "sigmoid": _unit,
    "hardsigmoid": _closed_unit,
    "tanh": _both_signs,
}


def name_of(node: Node) -> str:
    """The table name of a call; "" for a node that is no call of an operator."""
    if node.op != "call_function":
        return ""
    target = node.target
    if not hasattr(target, "_schema"):
        return str(getattr(target, "__name__", target))
    operator, _, overload = str(target).removeprefix("aten.").partition(".")
    if operator.endswith("_") and not operator.startswith("_"):
        operator = operator[:-1]
    return operator if overload in ("", "default") else f"{operator}.{overload}"


def pad_value(node: Node) -> float | None:
    """What a constant padding writes around the tensor; None for any other padding."""
    mode = node.args[2] if name_of(node) == "pad" and len(node.args) > 2 else "constant"
    place = 3 if name_of(node) == "pad" else 2
    value = node.args[place] if len(node.args) > place else node.kwargs.get("value")
    if mode != "constant" or not isinstance(value, (int, float, type(None))):
        return None
    return float(value or 0.0)


def _hardtanh(node: Node) -> tuple[float, float]:
    low = node.args[1] if len(node.args) > 1 else -1.0
    high = node.args[2] if len(node.args) > 2 else 1.0
    return float(low), float(high)  # type: ignore[arg-type]


def _clamp(node: Node) -> tuple[float, float] | None:
    low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min")
    high = node.args[2] if len(node.args) > 2 else node.kwargs.get("max")
    both = isinstance(low, (int, float)) and isinstance(high, (int, float))
    return (float(low), float(high)) if both else None  # type: ignore[arg-type]


# Operators that clip on both sides: how to read their bounds.
CLIP_BOUNDS: dict[str, Callable[[Node], tuple[float, float] | None]] = {
    "relu6": lambda node: (0.0, 6.0),
    "hardtanh": _hardtanh,
    "clamp": _clamp,
}
