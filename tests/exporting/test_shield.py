"""Products that are to compute in float: what onnxruntime does to them otherwise, and that it does not."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from edgeft.exporting import graph
from edgeft.exporting.passes.shield import ShieldFloatProducts
from tests.exporting import graphs

RNG = np.random.default_rng(0)
SHAPES = {"Conv": (5, 4, 1, 1), "Gemm": (4, 5)}
WEIGHTS = {kind: RNG.normal(0, 1, shape).astype(np.float32) for kind, shape in SHAPES.items()}
BIAS = np.array([0.5, -300.25, 0.0, 1e-3, 7.0], np.float32)


def product(kind: str, biased: bool, moved: bool = False):
    """x -> Q/DQ -> product with a float weight -> Q/DQ -> logits; one large weight spoils a shared scale."""
    weight = WEIGHTS[kind].copy()
    weight.reshape(-1)[0] = 1000.0
    shape = ("batch", 4, 1, 1) if kind == "Conv" else ("batch", 4)
    out = ("batch", 5, *shape[2:])
    inner = "moved" if moved else "x_dq"
    nodes = [
        *graphs.pair("x", "x_dq", "s", "z"),
        *([helper.make_node("Reshape", ["x_dq", "shape"], ["moved"], "move")] if moved else []),
        helper.make_node(kind, [inner, "w", *(["b"] if biased else [])], ["y"], "product"),
        *graphs.pair("y", "logits", "y_s", "y_z"),
    ]
    constants = {
        "s": np.float32(0.05), "z": np.uint8(128), "w": weight, "y_s": np.float32(20), "y_z": np.uint8(128),
        **({"b": BIAS} if biased else {}), **({"shape": np.array([-1, *shape[1:]], np.int64)} if moved else {}),
    }  # fmt: skip
    return graphs.model(nodes, constants, x=shape, y=out)


@pytest.mark.parametrize("kind, biased, moved", [("Conv", True, False), ("Conv", False, False), ("Gemm", True, False),
                                                 ("Gemm", True, True), ("Conv", True, True)])  # fmt: skip
def test_it_stays_float_in_the_graph_that_runs_and_computes_what_was_written(tmp_path, kind, biased, moved):
    made = product(kind, biased, moved)
    plain = graphs.artifact(made, tmp_path)
    kernels = {node.op_type for node in plain.optimized_model.graph}
    assert kernels & {"QLinearConv", "QGemm"}, "onnxruntime no longer does this: the pass may go"
    assert ShieldFloatProducts().broken(made)
    assert ShieldFloatProducts().apply(made) == 1 and ShieldFloatProducts().broken(made) == []
    shielded = graphs.artifact(made, tmp_path, expected=plain.plain)
    assert not {node.op_type for node in shielded.optimized_model.graph} & {"QLinearConv", "QGemm"}
    assert np.array_equal(shielded.plain, plain.plain)
    assert np.abs(shielded.optimized - plain.plain).max() <= 20.0 * 1.001  # one step of the output's grid, on ties


def test_the_bias_keeps_its_value():
    made = product("Gemm", biased=True)
    ShieldFloatProducts().apply(made)
    stored = graph.stored_weight(graph.nodes(made, "Gemm")[0].inputs[2])
    codes, grid = graph.array(stored.inputs[0]), graph.grid(stored)
    assert codes.dtype == np.int32 and grid.scale.ndim == 0
    assert np.abs(codes * float(grid.scale) - BIAS).max() <= 300.25 / 2**30


def test_what_reads_floats_or_has_integer_weights_is_left_alone():
    quantized = graphs.linear()
    assert ShieldFloatProducts().apply(quantized) == 0
    node = helper.make_node("Gemm", ["x", "w", "b"], ["logits"], "product")
    floats = graphs.model([node], {"w": WEIGHTS["Gemm"], "b": BIAS}, y=("batch", 5))
    assert ShieldFloatProducts().apply(floats) == 0
