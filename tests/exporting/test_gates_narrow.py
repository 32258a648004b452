"""Gates of narrow and accelerator files, each on a file it passes and on one with the fault it is there for."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgeft.exporting import gates, graph, passes
from edgeft.exporting.gates.agreement import AgainstTorch, FusedAgainstTorch, OffAgainstOn
from edgeft.exporting.gates.coverage import Coverage
from edgeft.exporting.gates.fixed_shapes import FixedShapes
from edgeft.exporting.gates.placement import PairsOnInputs
from edgeft.exporting.gates.running import Batches
from edgeft.scheme import INT4, S8S8_SYMMETRIC, U8S8_DYNAMIC, U8U8
from tests.exporting import graphs

LEVEL = "session.qdq_matmulnbits_accuracy_level"


def _in_blocks() -> ir.Model:
    """x [.., 64] times an int4 weight [64, 3] in blocks of 32."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["w_dq"], "w_dq", axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "w_dq"], ["logits"], "product"),
    ]
    codes = rng.integers(-8, 8, (64, 3)).astype(ir.DataType.INT4.numpy())
    scale = rng.uniform(0.01, 0.02, (2, 3)).astype(np.float32)
    model = graphs.model(nodes, {"s": scale, "w": np.zeros((64, 3), np.int8)}, x=("batch", 64), opset=21)
    stored = graph.initializer(model, "w_codes", codes)
    graph.nodes(model, "DequantizeLinear")[0].replace_input_with(0, stored)
    model.graph.initializers.pop("w")
    return model


def _simulated(judged) -> np.ndarray:
    """Data rounded in blocks of 32, then the product in float: quantization.md section 3."""
    weight = graph.stored_weight(graph.nodes(judged.model, "MatMul")[0].inputs[1])
    codes, scale = graph.array(weight.inputs[0]).astype(np.float32), graph.array(weight.inputs[1])
    x = judged.batches[0]["x"]
    blocks = x.reshape(len(x), 2, 32)
    step = np.abs(blocks).max(-1, keepdims=True) / np.float32(127)
    return ((np.rint(blocks / step) * step).reshape(x.shape) @ (codes * np.repeat(scale, 32, 0))).astype(np.float32)


def test_fused_kernels_are_held_against_what_was_trained(tmp_path):
    judged = graphs.artifact(_in_blocks(), tmp_path, rows=256)
    judged.as_written, judged.expected = judged.plain, _simulated(judged)
    assert AgainstTorch().run(judged).passed and FusedAgainstTorch(least_cosine=1 - 1e-9).run(judged).passed
    # at a lower level the kernel rounds nothing: no longer what was trained, and no integer product
    exact = graphs.artifact(_in_blocks(), tmp_path, rows=256, options={LEVEL: "0"}, expected=judged.expected)
    exact.as_written = judged.plain
    assert AgainstTorch().run(exact).passed and not FusedAgainstTorch(least_cosine=1 - 1e-9).run(exact).passed
    assert Coverage().run(judged).passed
    outcome = Coverage().run(exact)
    assert not outcome.passed and outcome.evidence == "0 of 1 products run in integer kernels"


def test_one_wrong_weight_in_blocks_fails_both(tmp_path):
    judged = graphs.artifact(_in_blocks(), tmp_path, rows=256)
    written, trained = judged.plain, _simulated(judged)
    model = _in_blocks()
    weight = graph.nodes(model, "DequantizeLinear")[0]
    codes = graph.array(weight.inputs[0]).copy()
    codes[0, 0] = 7 if codes[0, 0] < 0 else -8
    weight.replace_input_with(0, graph.initializer(model, "wrong", codes))
    model.graph.initializers.pop("w_codes")
    spoiled = graphs.artifact(model, tmp_path, rows=256, expected=trained)
    spoiled.as_written = written
    assert not AgainstTorch().run(spoiled).passed and not FusedAgainstTorch().run(spoiled).passed


def test_blocks_behind_a_dequantize_are_not_fused_and_named(tmp_path):
    model = _in_blocks()
    product = graph.nodes(model, "MatMul")[0]
    grid = [
        graph.initializer(model, "x_scale", np.float32(0.1)),
        graph.initializer(model, "x_zero", np.uint8(128)),
    ]
    codes = graph.before(model, product, "QuantizeLinear", [product.inputs[0], *grid], "x_codes")
    product.replace_input_with(0, graph.before(model, product, "DequantizeLinear", [codes, *grid], "x_dq"))
    outcome = Coverage().run(graphs.artifact(model, tmp_path))
    assert not outcome.passed and outcome.places == ("MatMul product (its data stands behind a DequantizeLinear)",)


def test_each_scheme_is_asked_what_its_target_needs():
    def names(scheme):
        return {gate.name for gate in gates.integer_gates(passes.integer_pipeline(scheme, 21, 10), scheme)}

    fused, off_on = FusedAgainstTorch().name, OffAgainstOn().name
    assert fused in names(INT4) and off_on not in names(INT4)
    assert off_on in names(U8S8_DYNAMIC) and fused not in names(U8S8_DYNAMIC)
    assert FixedShapes().name in names(U8U8) and FixedShapes().name not in names(S8S8_SYMMETRIC)
    assert PairsOnInputs().name in names(S8S8_SYMMETRIC)


# --- fixed sizes ---


def test_a_free_axis_and_a_computed_size_are_named(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], "ask"),
        helper.make_node("Reshape", ["x", "size"], ["logits"], "reshape"),
    ]
    free = graphs.artifact(graphs.model(nodes, {}, x=("batch", 3)), tmp_path)
    outcome = FixedShapes().run(free)
    assert not outcome.passed and outcome.places[:2] == ("Shape ask", "x ['batch', '3']")
    relu = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=(1, 3), y=(1, 3))
    fixed = graphs.artifact(relu, tmp_path, rows=1)
    assert FixedShapes().run(fixed).passed
    assert Batches().run(fixed).evidence == "the file takes batches of 1 only"


# --- TensorRT ---


def _residual(zero: int = 0, bias: bool = False, activation: bool = False) -> ir.Model:
    """relu(conv(x) + x), both x through one pair; the weight stored with zero point 0."""
    read = "x_dq"
    nodes = graphs.pair("x", "x_dq", "x_scale", "x_zero")
    if activation:
        nodes.append(helper.make_node("Sigmoid", ["x_dq"], ["gate"], "gate"))
    nodes += [
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=0),
        *([helper.make_node("DequantizeLinear", ["b", "b_scale"], ["b_dq"], "b_dq")] if bias else []),
        helper.make_node("Conv", [read, "w_dq", *(["b_dq"] if bias else [])], ["y"], "conv"),
        helper.make_node("Add", ["y", "gate" if activation else "x_dq"], ["sum"], "add"),
        helper.make_node("Relu", ["sum"], ["logits"], "relu"),
    ]
    constants = {
        "x_scale": np.float32(0.05), "x_zero": np.int8(zero), "w": np.ones((3, 3, 1, 1), np.int8),
        "w_scale": np.full(3, 0.02, np.float32), "w_zero": np.zeros(3, np.int8),
        **({"b": np.ones(3, np.int32), "b_scale": np.float32(0.001)} if bias else {}),
    }  # fmt: skip
    return graphs.model(nodes, constants, x=("batch", 3, 4, 4), y=("batch", 3, 4, 4))


@pytest.mark.parametrize(
    "how, why",
    [
        ({}, ""),
        ({"zero": 3}, "QuantizeLinear x_dq_q (its zero point is not 0)"),
        ({"bias": True}, "DequantizeLinear b_dq (it stores the bias of Conv conv)"),
        ({"activation": True}, "DequantizeLinear x_dq_dq (Sigmoid gate reads it)"),
    ],
    ids=["right", "zero point", "integer bias", "elsewhere"],
)
def test_pairs_of_tensorrt_stand_on_inputs_only(how, why, tmp_path):
    outcome = PairsOnInputs().run(graphs.artifact(_residual(**how), tmp_path, expected=np.zeros((40, 3), np.float32)))
    assert outcome.passed is (why == "")
    assert why in outcome.line()


def test_a_file_without_pairs_is_not_right(tmp_path):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3), x_type=TensorProto.FLOAT)
    assert not PairsOnInputs().run(graphs.artifact(model, tmp_path)).passed
