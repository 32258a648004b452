"""Small ONNX graphs made by hand, for passes and gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from edgeft.exporting import sessions
from edgeft.exporting.gates.artifact import Artifact
from edgeft.tasks.task import TensorSpec

FLOAT = onnx.TensorProto.FLOAT
U8 = np.uint8


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    x: Sequence[int | str] = ("batch", 4),
    y: Sequence[int | str] = ("batch", 3),
    x_type: int = FLOAT,
    opset: int = 20,
) -> ir.Model:
    """Input "x", output "logits"; constants are arrays by name."""
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info("x", x_type, list(x))],
        [helper.make_tensor_value_info("logits", FLOAT, list(y))],
        [numpy_helper.from_array(np.asarray(content), name) for name, content in constants.items()],
    )
    ir_version = 9 if opset < 21 else 10
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    onnx.checker.check_model(proto, full_check=True)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


def pair(source: str, target: str, scale: str, zero: str, **attributes: Any) -> list[onnx.NodeProto]:
    """QuantizeLinear and DequantizeLinear from `source` to `target`."""
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{target}_codes"], f"{target}_q", **attributes),
        helper.make_node("DequantizeLinear", [f"{target}_codes", scale, zero], [target], f"{target}_dq", **attributes),
    ]


def linear(
    weight: Any = None, bias: Any = None, w_scale: Any = None, x_scale: Any = None, op: str = "Gemm"
) -> ir.Model:
    """x -> Q/DQ -> Gemm(x, DQ(Q(w)) [4, 3], b) -> logits, as the exporter writes it (before any pass).

    x is stored as u8 with scale 0.5 and zero point 128; the weight as s8 with a scale for each of the 3 columns.
    """
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) - 6 if weight is None else weight
    bias = np.array([1, -2, 3], np.float32) if bias is None else bias
    x_scale = np.float32(0.5) if x_scale is None else x_scale
    w_scale = np.array([0.25, 0.5, 1.0], np.float32) if w_scale is None else w_scale
    nodes = [*pair("x", "x_dq", "x_scale", "x_zero"), *pair("w", "w_dq", "w_scale", "w_zero", axis=1)]
    if op == "Gemm":
        nodes.append(helper.make_node("Gemm", ["x_dq", "w_dq", "b"], ["logits"], "product"))
    else:
        nodes.append(helper.make_node("MatMul", ["x_dq", "w_dq"], ["m"], "product"))
        nodes.append(helper.make_node("Add", ["m", "b"], ["logits"], "add"))
    shape: tuple[int | str, ...] = ("batch", 4) if op == "Gemm" else ("batch", "sequence", 4)
    return model(
        nodes,
        {
            "x_scale": x_scale, "x_zero": np.full(np.shape(x_scale), 128, np.uint8), "w": weight, "b": bias,
            "w_scale": w_scale, "w_zero": np.zeros(3, np.int8),
        },
        x=shape,
        y=(*shape[:-1], 3),
    )  # fmt: skip


def run(graph: ir.Model, folder: Path, optimized: bool = False, **inputs: Any) -> np.ndarray[Any, Any]:
    """What onnxruntime makes of the graph."""
    path = folder / "trial.onnx"
    ir.save(graph, path)
    return sessions.answer(sessions.open_session(path, optimized), inputs)


def constants(graph: ir.Model) -> dict[str, np.ndarray[Any, Any]]:
    return {name: value.const_value.numpy() for name, value in graph.graph.initializers.items()}


def types(graph: ir.Model) -> list[str]:
    return [node.op_type for node in graph.graph]


def artifact(graph: ir.Model, folder: Path, rows: int = 40, **changes: Any) -> Artifact:
    """`graph` written and ready to be judged on `rows` random samples; `expected` is what it computes itself."""
    path = folder / "judged.onnx"
    ir.save(graph, path)
    value = graph.graph.inputs[0]
    sizes = [size if isinstance(size, int) else {"batch": rows, "sequence": 5}[str(size.value)] for size in value.shape]
    x = np.random.default_rng(0).normal(0, 4, sizes).astype(np.float32)
    found = {
        "inputs": [TensorSpec("x", "float32", _shape(value))],
        "output": TensorSpec("logits", "float32", _shape(graph.graph.outputs[0])),
        "batches": [{"x": x}],
        "ids": [f"s{index}" for index in range(rows)],
    }
    made = Artifact("int8", path, **{**found, "expected": np.zeros((rows, 3), np.float32), **changes})
    if "expected" not in changes:
        made.expected = made.plain
    return made


def _shape(value: ir.Value) -> tuple[int | str, ...]:
    assert value.shape is not None
    return tuple(size if isinstance(size, int) else str(size.value) for size in value.shape)
