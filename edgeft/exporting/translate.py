"""How the engine's fake-quantize operator is written in ONNX: QuantizeLinear followed by DequantizeLinear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from onnx.defs import OpSchema
from onnxscript import opset18, opset19, opset21
from onnxscript.values import Op, Opset

import edgeft.quant.attention
import edgeft.quant.ops  # noqa: F401  (registers torch.ops.edgeft.fq)

# Codes of edgeft.quant.ops.DTYPE_CODES -> ONNX types.
ONNX_TYPES = {
    0: ir.DataType.UINT8,
    1: ir.DataType.INT8,
    2: ir.DataType.UINT16,
    3: ir.DataType.INT16,
    4: ir.DataType.INT32,
    5: ir.DataType.INT4,
}
# QuantizeLinear takes 16-bit integers from opset 21 on.
_EIGHT_BIT = (0, 1)


def _fake_quantize(x: Any, scale: Any, zero_point: Any, axis: int, dtype: int) -> Any:
    """x float, any shape; scale float32 and zero_point int32, rank 0 (axis -1) or [C] along `axis`."""
    op: Any = opset19 if dtype in _EIGHT_BIT else opset21
    zero = op.Cast(zero_point, to=int(ONNX_TYPES[dtype]))
    along = {} if axis < 0 else {"axis": axis}
    return op.DequantizeLinear(op.QuantizeLinear(x, scale, zero, **along), scale, zero, **along)


def _fake_quantize_blocks(weight: Any, scale: Any, dtype: int) -> Any:
    """weight float [out, in], scale float32 [out, in / block], zero points of 0."""
    block = int(weight.shape[1]) // int(scale.shape[1])
    codes = opset21.QuantizeLinear(weight, scale, axis=1, block_size=block, output_dtype=int(ONNX_TYPES[dtype]))
    return opset21.DequantizeLinear(codes, scale, axis=1, block_size=block)


def _fake_quantize_dynamic(x: Any) -> Any:
    """x float, any shape; the range is that of the whole tensor."""
    codes, scale, zero = opset18.DynamicQuantizeLinear(x)
    return opset19.DequantizeLinear(codes, scale, zero)


def _schema() -> OpSchema:
    """onnxruntime's MultiHeadAttention as far as it is used here; the package onnx knows only ONNX's own operators."""
    float_, mask = "tensor(float)", "tensor(int32)"
    optional = OpSchema.FormalParameterOption.Optional
    names = (("query", float_), ("key", float_), ("value", float_), ("bias", float_), ("key_padding_mask", mask))
    inputs = [OpSchema.FormalParameter(name, kind, param_option=optional) for name, kind in names]
    return OpSchema(
        "MultiHeadAttention", "com.microsoft", 1, inputs=inputs, outputs=[OpSchema.FormalParameter("output", float_)],
        attributes=[
            OpSchema.Attribute("num_heads", OpSchema.AttrType.INT), OpSchema.Attribute("scale", OpSchema.AttrType.FLOAT)
        ],
    )  # fmt: skip


_multi_head = Op(Opset("com.microsoft", 1), "MultiHeadAttention", _schema())


def _attention(query: Any, key: Any, value: Any, mask: Any, heads: int, scale: float) -> Any:
    """As edgeft.quant.attention.attention."""
    given = None if mask is None else opset18.Cast(mask, to=int(ir.DataType.INT32))
    return _multi_head(query, key, value, None, given, num_heads=heads, scale=scale)


def table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """What torch.onnx.export takes as custom_translation_table."""
    return {
        torch.ops.edgeft.attention.default: _attention,
        torch.ops.edgeft.fq.default: _fake_quantize,
        torch.ops.edgeft.fq_blocks.default: _fake_quantize_blocks,
        torch.ops.edgeft.fq_dynamic.default: _fake_quantize_dynamic,
    }
