"""Passes for weights in blocks, for ranges taken at run time and for float16, on graphs to be checked by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from edgeft.exporting import graph, passes
from edgeft.exporting.magnitudes import largest_values
from edgeft.exporting.passes.blocks import StoreBlocks
from edgeft.exporting.passes.dynamic import MultiplyIntegers
from edgeft.exporting.passes.fold_weights import FoldWeights
from edgeft.exporting.passes.gemm import LinearAsGemm
from edgeft.exporting.passes.half import FitConstants, ToHalf, stays_float
from edgeft.exporting.passes.tidy import Tidy
from tests.exporting import graphs

INT4 = onnx.TensorProto.INT4
X = np.random.default_rng(0).normal(0, 2, (5, 32)).astype(np.float32)

# --- weights in blocks ---


def _blocks(op: str, block: int = 16) -> ir.Model:
    """x [.., 32] times a weight [3, 32] in blocks, as the exporter writes a linear layer; scales 0.25, 0.5, ..."""
    weight = np.random.default_rng(1).integers(-8, 8, (3, 32)).astype(np.float32) / 4
    scale = (np.arange(1, 3 * 32 // block + 1, dtype=np.float32) / 4).reshape(3, -1)
    how = {"axis": 1, "block_size": block}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "scale"], ["w_codes"], "w_q", output_dtype=INT4, **how),
        helper.make_node("DequantizeLinear", ["w_codes", "scale"], ["w_dq"], "w_dq", **how),
    ]
    if op == "Gemm":
        nodes.append(helper.make_node("Gemm", ["x", "w_dq", "b"], ["logits"], "product", transB=1))
        shape: tuple[int | str, ...] = ("batch", 32)
    else:
        nodes.append(helper.make_node("Transpose", ["w_dq"], ["w_t"], "turn", perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", ["x", "w_t"], ["m"], "product"))
        nodes.append(helper.make_node("Add", ["m", "b"], ["logits"], "add"))
        shape = ("batch", "sequence", 32)
    constants = {"w": weight, "scale": scale, "b": np.array([1, -2, 3], np.float32)}
    return graphs.model(nodes, constants, x=shape, y=(*shape[:-1], 3), opset=21)


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_blocks_are_stored_turned_and_fuse(op, tmp_path):
    model = _blocks(op)
    x = X if op == "Gemm" else X[None]
    before, weight = graphs.run(model, tmp_path, x=x), graphs.constants(model)["w"]
    pass_ = StoreBlocks()
    assert pass_.broken(model) == ["QuantizeLinear w_q", "DequantizeLinear w_dq"]
    assert pass_.apply(model) == 1 and pass_.broken(model) == []
    Tidy(21, 10).apply(model)
    found = graphs.constants(model)
    assert found["w_int4"].shape == (32, 3) and found["w_scale"].shape == (2, 3)
    # w / s, by hand for the first weight of each output: scales 0.25, 0.75 and 1.25 hold the first 16 inputs
    first = [round(float(weight[row, 0]) / scale) for row, scale in ((0, 0.25), (1, 0.75), (2, 1.25))]
    assert found["w_int4"][0].astype(int).tolist() == [min(7, max(-8, code)) for code in first]
    assert "Transpose" not in graphs.types(model)
    assert np.allclose(graphs.run(model, tmp_path, x=x), before, atol=1e-5)
    artifact = graphs.artifact(model, tmp_path, rows=5, expected=np.zeros((5, 3), np.float32))
    assert "MatMulNBits" in [node.op_type for node in artifact.optimized_model.graph]


def test_blocks_the_other_way_round_break_the_contract():
    model = _blocks("Gemm")
    StoreBlocks().apply(model)
    weight = graph.nodes(model, "DequantizeLinear")[0]
    weight.attributes["axis"] = ir.AttrInt64("axis", 1)
    assert StoreBlocks().broken(model) == [graph.title(weight)]


def test_a_grid_in_blocks_has_no_scale_of_its_product():
    model = _blocks("Gemm")
    StoreBlocks().apply(model)
    grid = graph.grid(graph.nodes(model, "DequantizeLinear")[0])
    assert (grid.axis, grid.block, grid.zero_point.dtype.name) == (0, 16, "int4") and not grid.zero_point.any()
    assert graph.product_scale(graph.nodes(model, "Gemm")[0]) is None


# --- ranges taken at run time ---


def _dynamic(op: str) -> ir.Model:
    """DynamicQuantizeLinear, DequantizeLinear of x, times an int8 weight [32, 3] with a scale a column, plus a bias."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_codes", "x_scale", "x_zero"], "x_q"),
        helper.make_node("DequantizeLinear", ["x_codes", "x_scale", "x_zero"], ["x_dq"], "x_dq"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=1),
    ]
    if op == "Gemm":
        nodes.append(helper.make_node("Gemm", ["x_dq", "w_dq", "b"], ["logits"], "product"))
    else:
        nodes.append(helper.make_node("MatMul", ["x_dq", "w_dq"], ["m"], "product"))
        nodes.append(helper.make_node("Add", ["m", "b"], ["logits"], "add"))
    weight = np.random.default_rng(1).integers(-127, 128, (32, 3)).astype(np.int8)
    constants = {
        "w": weight, "w_scale": np.array([0.25, 0.5, 1], np.float32), "w_zero": np.zeros(3, np.int8),
        "b": np.array([1, -2, 3], np.float32),
    }  # fmt: skip
    return graphs.model(nodes, constants, x=("batch", 32), y=("batch", 3))


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_products_of_run_time_ranges_are_integer_ones(op, tmp_path):
    model = _dynamic(op)
    before = graphs.run(model, tmp_path, x=X)
    assert MultiplyIntegers().broken(model) == [f"{op} product"]
    assert MultiplyIntegers().apply(model) == 1 and MultiplyIntegers().broken(model) == []
    Tidy(20, 9).apply(model)
    assert [kind for kind in graphs.types(model) if kind in ("DequantizeLinear", "MatMul", "Gemm")] == []
    assert [node.name for node in graph.nodes(model, "MatMulInteger")] == ["product"]
    assert np.allclose(graphs.run(model, tmp_path, x=X), before, rtol=1e-5, atol=1e-3)
    artifact = graphs.artifact(model, tmp_path, rows=5)
    assert [node.op_type for node in artifact.optimized_model.graph] == ["DynamicQuantizeMatMul"]
    assert np.allclose(artifact.optimized, artifact.plain, rtol=1e-5, atol=1e-3)


# --- reshapes in pairs of their own ---


def test_with_pairs_no_operator_moves_bare_integers(tmp_path):
    x = np.random.default_rng(0).normal(0, 4, (2, 5, 4)).astype(np.float32)
    results = {}
    for pairs in (False, True):
        model = graphs.linear(op="MatMul")
        before = graphs.run(model, tmp_path, x=x)
        passes.run(model, (FoldWeights(), LinearAsGemm(pairs)))
        reshapes = graph.nodes(model, "Reshape")
        sources = {node.inputs[0].producer().op_type for node in reshapes}
        assert sources == ({"DequantizeLinear", "Gemm"} if pairs else {"QuantizeLinear", "Gemm"})
        assert np.array_equal(graphs.run(model, tmp_path, x=x), before)
        results[pairs] = len(graph.nodes(model, "QuantizeLinear"))
    assert results == {False: 1, True: 2}


# --- float16 ---


def _masked() -> ir.Model:
    """x times a weight, plus a mask of -3.4e38, softmax; then the square root of a square plus 1e-12."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"], "product"),
        helper.make_node("Add", ["scores", "mask"], ["masked"], "mask_add"),
        helper.make_node("Softmax", ["masked"], ["p"], "softmax"),
        helper.make_node("Mul", ["x", "sixty"], ["large"], "enlarge"),
        helper.make_node("Mul", ["large", "large"], ["square"], "square"),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], "mean", keepdims=1),
        helper.make_node("Add", ["mean", "epsilon"], ["above_zero"], "add_epsilon"),
        helper.make_node("Sqrt", ["above_zero"], ["norm"], "root"),
        helper.make_node("Mul", ["p", "norm"], ["logits"], "scale"),
    ]
    constants = {
        "w": np.random.default_rng(1).normal(0, 0.2, (32, 3)).astype(np.float32),
        "mask": np.array([0, 0, -3.4028235e38], np.float32),
        "sixty": np.float32(60), "axes": np.array([1], np.int64), "epsilon": np.float32(1e-12),
    }  # fmt: skip
    return graphs.model(nodes, constants, x=("batch", 32))


def test_float16_keeps_what_it_cannot_hold(tmp_path):
    model = _masked()
    expected = graphs.run(model, tmp_path, x=X)
    passes.run(model, (FitConstants(),))
    assert graphs.constants(model)["mask"].tolist() == [0, 0, -10000]
    largest = largest_values(model, [{"x": X[:2]}, {"x": X[2:]}])
    # 60 x, squared, is above 65504 wherever |x| > 4.27; the means of 32 such squares are not
    assert largest["square"] == pytest.approx(float(np.abs(60 * X).max() ** 2)) and largest["square"] > 65504
    assert largest["mean"] < 65504 / 2 and largest["p"] <= 1
    assert [value.name for value in model.graph.outputs] == ["logits"]
    kept = stays_float(model, largest)
    assert set(kept) == {"square", "mean", "add_epsilon"}
    assert "were seen, and float16 ends at 65504" in kept["square"]
    assert kept["add_epsilon"] == "its constant 1e-12 is too small for float16"
    pipeline = passes.half_pipeline(20, 9, kept)
    passes.run(model, pipeline)
    stored = graphs.constants(model)
    assert {name: content.dtype.name for name, content in stored.items() if content.dtype.kind == "f"} == {
        "w_float16": "float16", "mask_float16": "float16", "sixty_float16": "float16", "epsilon": "float32",
    }  # fmt: skip
    assert [value.dtype for value in (*model.graph.inputs, *model.graph.outputs)] == [ir.DataType.FLOAT] * 2
    assert np.allclose(graphs.run(model, tmp_path, x=X), expected, rtol=5e-3, atol=1e-3)
    assert (graphs.run(model, tmp_path, x=X)[:, 2] == 0).all()


def test_float16_arithmetic_needs_the_exceptions():
    # onnxruntime's CPU kernels compute float16 files in float32; the reference evaluator computes in float16.
    for kept, finite in (({}, False), ({"square": "", "mean": "", "add_epsilon": ""}, True)):
        model = _masked()
        passes.run(model, passes.half_pipeline(20, 9, kept))
        with np.errstate(over="ignore", invalid="ignore"):
            (logits,) = ReferenceEvaluator(ir.serde.serialize_model(model)).run(None, {"x": X})
        assert bool(np.isfinite(logits).all()) is finite


def test_a_weight_left_in_float32_and_mixed_types_break_the_contract():
    model = _masked()
    passes.run(model, passes.half_pipeline(20, 9, {"product": "a reason"}))
    product = graph.nodes(model, "MatMul")[0]
    product.inputs[0].type = product.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    assert ToHalf({"product": "a reason"}).broken(model) == []
    assert ToHalf().broken(model) == ["MatMul product"]
    product.inputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
    assert ToHalf({"product": "a reason"}).broken(model) == ["MatMul product"]
