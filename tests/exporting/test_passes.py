"""Each pass on a graph small enough to check by hand, and its contract on a graph that breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from edgeft.errors import ModelError
from edgeft.exporting import graph, passes
from edgeft.exporting.passes.biases import LARGEST, QuantizeBiases
from edgeft.exporting.passes.dtype import StoreActivationsAs
from edgeft.exporting.passes.embeddings import GatherIntegers
from edgeft.exporting.passes.fold_weights import FoldWeights
from edgeft.exporting.passes.gemm import LinearAsGemm
from edgeft.exporting.passes.linear import LinearKernels
from edgeft.exporting.passes.merge import MergeConstants
from edgeft.exporting.passes.moves import MoveIntegers
from edgeft.exporting.passes.pooling import PoolGlobally
from edgeft.exporting.passes.rank_zero import ScalarGrids
from edgeft.exporting.passes.rescale import Rescale
from edgeft.exporting.passes.tidy import Tidy
from edgeft.exporting.passes.transposes import FoldTransposes
from edgeft.exporting.passes.unshare import Unshare
from edgeft.scheme import S8S8, U8S8
from tests.exporting import graphs

FOLD = FoldWeights()
X = np.array([[1, -2, 0.5, 3]], np.float32)


def test_weights_become_integers_and_the_dequantize_stays():
    model = graphs.linear()
    assert FOLD.broken(model) == ["QuantizeLinear w_dq_q"]
    assert FOLD.apply(model) == 1
    # columns divided by 0.25, 0.5 and 1: [-6 -5 -4] -> [-24 -10 -4], and so on
    expected = [[-24, -10, -4], [-12, -4, -1], [0, 2, 2], [12, 8, 5]]
    assert graphs.constants(model)["w_int8"].tolist() == expected
    assert graphs.constants(model)["w_int8"].dtype == np.int8
    assert FOLD.broken(model) == []


def test_weight_codes_saturate_at_the_storage_type():
    # 100 / 0.25 = 400, -100 / 0.5 = -200, 3 / 1 = 3
    model = graphs.linear(weight=np.tile(np.array([100, -100, 3], np.float32), (4, 1)))
    FOLD.apply(model)
    assert graphs.constants(model)["w_int8"][0].tolist() == [127, -128, 3]


def test_weight_ties_round_to_even_like_the_runtime(tmp_path):
    weight = np.tile(np.array([0.125, 0.75, 2.5], np.float32), (4, 1))  # codes 0.5, 1.5, 2.5
    model = graphs.linear(weight=weight)
    before = graphs.run(model, tmp_path, x=X)
    FOLD.apply(model)
    assert graphs.constants(model)["w_int8"][0].tolist() == [0, 2, 2]
    assert np.array_equal(graphs.run(model, tmp_path, x=X), before)


def _after_folding(**how):
    model = graphs.linear(**how)
    FOLD.apply(model)
    return model


def test_bias_becomes_int32_with_the_product_of_the_scales(tmp_path):
    model = _after_folding()
    before = graphs.run(model, tmp_path, x=X)
    pass_ = QuantizeBiases()
    assert pass_.broken(model) == ["Gemm product"]
    assert pass_.apply(model) == 1
    found = graphs.constants(model)
    # s_x = 0.5, so s_b = [0.125, 0.25, 0.5] and b / s_b = [8, -8, 6]
    assert found["b_int32"].tolist() == [8, -8, 6]
    assert found["b_int32"].dtype == np.int32
    assert found["b_int32_scale"].tolist() == [0.125, 0.25, 0.5]
    assert pass_.broken(model) == []
    assert np.array_equal(graphs.run(model, tmp_path, x=X), before)


def test_bias_of_a_matmul_is_found_at_its_add():
    model = _after_folding(op="MatMul")
    assert QuantizeBiases().apply(model) == 1
    assert graphs.constants(model)["b_int32"].tolist() == [8, -8, 6]


def test_bias_of_a_dead_channel_gets_a_larger_weight_scale():
    # A channel of zeros has the scale 1e-8: 0.5 / (0.02 * 1e-8) = 2.5e9 is more than int32 holds.
    weight = np.ones((4, 3), np.float32)
    weight[:, 1] = 0
    model = _after_folding(
        weight=weight, bias=np.array([1, 0.5, 1], np.float32), w_scale=np.array([0.1, 1e-8, 0.1], np.float32),
        x_scale=np.float32(0.02),
    )  # fmt: skip
    QuantizeBiases().apply(model)
    product = graph.nodes(model, "Gemm")[0]
    scale, bias = graph.product_scale(product), graph.stored_weight(product.inputs[2])
    assert scale[0] == np.float32(0.02) * np.float32(0.1)
    codes = graph.array(bias.inputs[0])
    assert abs(int(codes[1])) <= 2**30 + 1 < LARGEST
    assert codes[1] * np.float64(scale[1]) == pytest.approx(0.5, rel=1e-6)
    assert QuantizeBiases().broken(model) == []


def test_bias_on_a_foreign_grid_breaks_the_contract():
    model = _after_folding()
    QuantizeBiases().apply(model)
    bias = graph.stored_weight(graph.nodes(model, "Gemm")[0].inputs[2])
    bias.replace_input_with(1, graph.initializer(model, "foreign", graph.array(bias.inputs[1]) * np.float32(1.5)))
    assert QuantizeBiases().broken(model) == ["Gemm product"]


def test_transposed_weight_is_stored_turned(tmp_path):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=0),
        helper.make_node("Transpose", ["w_dq"], ["wt"], "turn", perm=[1, 0]),
        helper.make_node("MatMul", ["x_dq", "wt"], ["logits"], "product"),
    ]
    weight = np.arange(12, dtype=np.int8).reshape(3, 4)
    model = graphs.model(nodes, _grids(w=weight, w_scale=np.array([0.25, 0.5, 1], np.float32)))
    before = graphs.run(model, tmp_path, x=X)
    assert FoldTransposes().broken(model) == ["Transpose turn"]
    assert FoldTransposes().apply(model) == 1
    assert "Transpose" not in graphs.types(model)
    stored = graph.stored_weight(graph.nodes(model, "MatMul")[0].inputs[1])
    assert graph.array(stored.inputs[0]).tolist() == weight.T.tolist()
    assert graph.grid(stored).axis == 1
    assert np.array_equal(graphs.run(model, tmp_path, x=X), before)


def _grids(**more):
    return {
        "x_scale": np.float32(0.5), "x_zero": np.uint8(128), "w_scale": np.array([0.25, 0.5, 1], np.float32),
        "w_zero": np.zeros(3, np.int8), **more,
    }  # fmt: skip


def test_gemm_with_a_turned_weight_gets_it_stored_turned(tmp_path):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=0),
        helper.make_node("Gemm", ["x_dq", "w_dq"], ["logits"], "product", transB=1),
    ]
    model = graphs.model(nodes, _grids(w=np.arange(12, dtype=np.int8).reshape(3, 4)))
    before = graphs.run(model, tmp_path, x=X)
    assert FoldTransposes().apply(model) == 1
    assert FoldTransposes().broken(model) == []
    assert np.array_equal(graphs.run(model, tmp_path, x=X), before)


def test_table_is_looked_up_as_integers(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["table", "t_scale", "t_zero"], ["table_dq"], "table_dq"),
        helper.make_node("Gather", ["table_dq", "x"], ["rows"], "look_up"),
        *graphs.pair("rows", "rows_dq", "t_scale", "t_zero"),
        helper.make_node("ReduceSum", ["rows_dq", "axes"], ["logits"], "sum", keepdims=0),
    ]
    table = np.arange(-15, 15, dtype=np.int8).reshape(10, 3)
    model = graphs.model(
        nodes,
        {"table": table, "t_scale": np.float32(0.5), "t_zero": np.int8(0), "axes": np.array([1], np.int64)},
        x=("batch", 2),
        x_type=7,
    )
    ids = np.array([[0, 9], [4, 4]])
    assert GatherIntegers().broken(model) == ["Gather look_up"]
    assert GatherIntegers().apply(model) == 1
    assert graphs.types(model) == ["Gather", "DequantizeLinear", "ReduceSum"]
    assert graphs.run(model, tmp_path, x=ids).tolist() == ((table[ids] * 0.5).sum(1)).tolist()
    assert GatherIntegers().broken(model) == []


@pytest.mark.parametrize("keep", [1, 0])
def test_mean_over_the_image_becomes_a_pool(tmp_path, keep):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("ReduceMean", ["x_dq", "axes"], ["mean"], "mean", keepdims=keep),
        *graphs.pair("mean", "logits", "x_scale", "x_zero"),
    ]
    shape = ("batch", 3, 1, 1) if keep else ("batch", 3)
    axes = {"axes": np.array([-1, 2], np.int64)}
    model = graphs.model(nodes, {**_grids(), **axes}, x=("batch", 3, 5, 5), y=shape)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 5)).astype(np.float32) * 8
    before = graphs.run(model, tmp_path, x=x)
    assert PoolGlobally().broken(model) == ["ReduceMean mean"]
    PoolGlobally().apply(model)
    Tidy(20, 9).apply(model)
    after = graphs.run(model, tmp_path, x=x)
    assert after.shape == before.shape
    assert np.array_equal(after, before)
    kernels = graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32)).optimized_model
    assert "QLinearGlobalAveragePool" in [node.op_type for node in kernels.graph]


def test_mean_over_time_becomes_a_pool(tmp_path):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("ReduceMean", ["x_dq", "axes"], ["mean"], "mean", keepdims=0),
        *graphs.pair("mean", "logits", "x_scale", "x_zero"),
    ]
    model = graphs.model(nodes, {**_grids(), "axes": np.array([-1], np.int64)}, x=("batch", 3, "time"))
    x = np.random.default_rng(0).normal(size=(2, 3, 7)).astype(np.float32) * 8
    before = graphs.run(model, tmp_path, x=x)
    assert PoolGlobally().apply(model) == 1 and PoolGlobally().broken(model) == []
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)


def test_mean_over_other_axes_is_left_alone():
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["logits"], "mean", keepdims=0)]
    model = graphs.model(nodes, {"axes": np.array([1, 2], np.int64)}, x=("batch", 5, 5, 3))
    assert PoolGlobally().apply(model) == 0
    assert graphs.types(model) == ["ReduceMean"]


def _moved(node, shape, more, y=("batch", 3)):
    """x -> Q/DQ -> the node -> Q/DQ on the same grid (scale 0.5, zero point 128)."""
    nodes = [*graphs.pair("x", "x_dq", "x_scale", "x_zero"), node, *graphs.pair("m", "logits", "x_scale", "x_zero")]
    return graphs.model(nodes, {**_grids(), **more}, x=shape, y=y)


def test_elements_are_gathered_as_integers(tmp_path):
    node = helper.make_node("GatherElements", ["x_dq", "index"], ["m"], "gather", axis=1)
    model = _moved(node, (1, 4), {"index": np.array([[3, 0, 0]], np.int64)}, y=(1, 3))
    before = graphs.run(model, tmp_path, x=X)
    assert before.tolist() == [[3, 1, 1]]
    assert MoveIntegers().broken(model) == ["GatherElements gather"]
    assert MoveIntegers().apply(model) == 1 and MoveIntegers().broken(model) == []
    Tidy(20, 9).apply(model)
    assert graphs.types(model) == ["QuantizeLinear", "GatherElements", "DequantizeLinear"]
    assert np.array_equal(graphs.run(model, tmp_path, x=X), before)


@pytest.mark.parametrize(
    "value, code", [(None, 128), (np.float32(0), 128), (np.float32(-np.inf), 0), (np.float32(-3), 122)]
)
def test_padding_is_written_as_its_code(tmp_path, value, code):
    names = ["x_dq", "pads", "value"] if value is not None else ["x_dq", "pads"]
    more = {"pads": np.array([0, 1, 0, 0], np.int64), **({} if value is None else {"value": value})}
    model = _moved(helper.make_node("Pad", names, ["m"], "pad"), ("batch", 2), more)
    x = X[:, :2]
    before = graphs.run(model, tmp_path, x=x)
    assert MoveIntegers().apply(model) == 1
    assert graph.array(graph.nodes(model, "Pad")[0].inputs[2]) == code
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)
    # stored as s8 the padding is 128 less, as everything else
    StoreActivationsAs("s8").apply(model)
    assert graph.array(graph.nodes(model, "Pad")[0].inputs[2]) == code - 128
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)


def test_padding_of_a_convolution_and_mirrors_stay():
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("Pad", ["x_dq", "pads"], ["m"], "pad"),
        helper.make_node("Conv", ["m", "w"], ["logits"], "conv"),
    ]
    pads = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64)
    more = {**_grids(w=np.ones((3, 3, 2, 2), np.float32)), "pads": pads}
    assert MoveIntegers().apply(graphs.model(nodes, more, x=("batch", 3, 4, 4), y=("batch", 3, 4, 4))) == 0
    mirror = helper.make_node("Pad", ["x_dq", "pads"], ["m"], "pad", mode="reflect")
    assert MoveIntegers().apply(_moved(mirror, ("batch", 2), {"pads": np.array([0, 1, 0, 0], np.int64)})) == 0


def test_positive_factor_moves_into_the_scale(tmp_path):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("Div", ["x_dq", "eight"], ["half"], "divide"),
        helper.make_node("Mul", ["half", "c"], ["logits"], "multiply"),
    ]
    more = {"eight": np.float32(8), "c": np.array([4], np.float32)}
    model = graphs.model(nodes, {**_grids(), **more}, x=("batch", 3))
    before = graphs.run(model, tmp_path, x=X[:, :3])
    assert Rescale().broken(model) == ["Div divide"]
    assert Rescale().apply(model) == 2
    assert graphs.types(model) == ["QuantizeLinear", "DequantizeLinear"]
    # 0.5 / 8 * 4
    assert graph.grid(graph.nodes(model, "DequantizeLinear")[0]).scale == 0.25
    assert graph.grid(graph.nodes(model, "QuantizeLinear")[0]).scale == 0.5
    assert np.array_equal(graphs.run(model, tmp_path, x=X[:, :3]), before)


def test_positive_factor_behind_a_product_moves_into_the_scale_of_its_data(tmp_path):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        *graphs.pair("y", "y_dq", "x_scale", "x_zero"),
        helper.make_node("MatMul", ["x_dq", "y_dq"], ["scores"], "product"),
        helper.make_node("Mul", ["scores", "c"], ["logits"], "multiply"),
    ]
    more = {"c": np.float32(0.25), "y": np.arange(9, dtype=np.float32).reshape(3, 3)}
    model = graphs.model(nodes, {**_grids(), **more}, x=("batch", 3))
    before = graphs.run(model, tmp_path, x=X[:, :3])
    assert Rescale().broken(model) == ["Mul multiply"]
    assert Rescale().apply(model) == 1 and Rescale().broken(model) == []
    assert "Mul" not in graphs.types(model)
    # 0.5 / 4: a power of two, so that nothing rounds
    assert sorted(float(graph.grid(n).scale) for n in graph.nodes(model, "DequantizeLinear")) == [0.125, 0.5]
    assert np.array_equal(graphs.run(model, tmp_path, x=X[:, :3]), before)


def test_negative_factor_stays():
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("Mul", ["x_dq", "c"], ["logits"], "multiply"),
    ]
    model = graphs.model(nodes, _grids(c=np.float32(-2)), x=("batch", 3))
    assert Rescale().apply(model) == 0


def test_linear_layer_on_three_axes_becomes_gemm(tmp_path):
    model = _after_folding(op="MatMul")
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    before = graphs.run(model, tmp_path, x=x)
    assert LinearAsGemm().broken(model) == ["MatMul product"]
    assert LinearAsGemm().apply(model) == 1
    assert "MatMul" not in graphs.types(model) and "Gemm" in graphs.types(model)
    QuantizeBiases().apply(model)
    for batch, length in ((2, 5), (1, 1), (3, 7)):
        x = np.random.default_rng(0).normal(size=(batch, length, 4)).astype(np.float32)
        assert graphs.run(model, tmp_path, x=x).shape == (batch, length, 3)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)
    kernels = graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32)).optimized_model
    assert "QGemm" in [node.op_type for node in kernels.graph]


def test_linear_layer_becomes_the_kernel_that_adds_its_bias(tmp_path):
    model = _after_folding(op="MatMul")
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    before = graphs.run(model, tmp_path, x=x)
    assert LinearKernels().broken(model) == ["MatMul product"]
    QuantizeBiases().apply(model)
    assert LinearKernels().apply(model) == 1 and LinearKernels().broken(model) == []
    assert graphs.types(model) == ["QuantizeLinear", "MatMulIntegerToFloat"]
    # Scales and biases are powers of two and their multiples, so that the float sum is exact.
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)
    for optimized in (False, True):
        x = np.ones((1, 3, 4), np.float32)
        assert graphs.run(model, tmp_path, optimized, x=x).shape == (1, 3, 3)


def test_scales_of_one_element_become_scalars():
    model = graphs.linear(x_scale=np.array([0.5], np.float32))
    assert ScalarGrids().broken(model) == ["QuantizeLinear x_dq_q", "DequantizeLinear x_dq_dq"]
    assert ScalarGrids().apply(model) == 4
    quantize = graph.nodes(model, "QuantizeLinear")[0]
    assert graph.array(quantize.inputs[1]).shape == () and graph.array(quantize.inputs[2]).shape == ()
    assert ScalarGrids().broken(model) == []


def test_every_quantized_constant_gets_one_reader():
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=1),
        helper.make_node("MatMul", ["x_dq", "w_dq"], ["one"], "one"),
        helper.make_node("MatMul", ["x_dq", "w_dq"], ["two"], "two"),
        helper.make_node("Add", ["one", "two"], ["logits"], "sum"),
    ]
    model = graphs.model(nodes, _grids(w=np.ones((4, 3), np.int8)))
    # x_scale and x_zero are read by both of a pair; w_dq has two readers
    assert len(Unshare().broken(model)) == 1 + 4
    Unshare().apply(model)
    assert Unshare().broken(model) == []
    one, two = graph.nodes(model, "MatMul")
    assert one.inputs[1] is not two.inputs[1]
    assert one.inputs[1].producer().inputs[0] is not two.inputs[1].producer().inputs[0]
    assert one.inputs[1].producer().attributes["axis"].as_int() == 1


@pytest.mark.parametrize("before, after, zero", [(np.uint8(100), "s8", -28), (np.int8(-28), "u8", 100)])
def test_activation_type_moves_by_128_and_nothing_else(tmp_path, before, after, zero):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=1),
        helper.make_node("MatMul", ["x_dq", "w_dq"], ["m"], "product"),
        helper.make_node("DequantizeLinear", ["c", "x_scale", "x_zero"], ["c_dq"], "c_dq"),
        helper.make_node("Add", ["m", "c_dq"], ["sum"], "sum"),
        *graphs.pair("sum", "logits", "x_scale", "x_zero"),
    ]
    constant = np.array([1, 2, 3], before.dtype)
    model = graphs.model(nodes, _grids(x_zero=before, w=np.ones((4, 3), np.int8), c=constant))
    expected = graphs.run(model, tmp_path, x=X)
    step = StoreActivationsAs(after)
    assert step.broken(model)
    step.apply(model)
    assert step.broken(model) == []
    zeros = {int(graph.grid(node).zero_point) for node in graph.nodes(model, "QuantizeLinear")}
    assert zeros == {zero}
    weight = graph.stored_weight(graph.nodes(model, "MatMul")[0].inputs[1])
    assert graph.array(weight.inputs[0]).dtype == np.int8 and graph.array(weight.inputs[0]).max() == 1
    assert np.array_equal(graphs.run(model, tmp_path, x=X), expected)


def test_rows_of_a_table_take_the_type_of_the_other_activations(tmp_path):
    # In u8 the sum of two embeddings is QLinearAdd; with an s8 table it was an Add between conversions.
    look_up = helper.make_node("Gather", ["table", "x"], ["codes"], "look_up")
    nodes = [
        look_up,
        helper.make_node("DequantizeLinear", ["codes", "t_scale", "t_zero"], ["rows"], "rows_dq"),
        helper.make_node("DequantizeLinear", ["codes", "t_scale", "t_zero"], ["again"], "again_dq"),
        helper.make_node("Add", ["rows", "again"], ["sum"], "sum"),
        *graphs.pair("sum", "logits", "x_scale", "x_zero"),
    ]
    table = np.arange(-15, 15, dtype=np.int8).reshape(10, 3)
    more = {"table": table, "t_scale": np.float32(0.5), "t_zero": np.int8(0)}
    model = graphs.model(nodes, {**_grids(), **more}, x=("batch",), x_type=7)
    ids = np.array([0, 9, 4])
    before = graphs.run(model, tmp_path, x=ids)
    step = StoreActivationsAs("u8")
    assert step.broken(model) == ["DequantizeLinear rows_dq", "DequantizeLinear again_dq"]
    step.apply(model)
    assert step.broken(model) == []
    assert np.array_equal(graphs.run(model, tmp_path, x=ids), before)
    stored = graph.nodes(model, "Gather")[0].inputs[0]
    assert graph.array(stored).tolist() == (table.astype(int) + 128).tolist()
    kernels = graphs.artifact(model, tmp_path, batches=[{"x": ids}]).optimized_model
    assert "QLinearAdd" in [node.op_type for node in kernels.graph]


def test_equal_weights_of_a_float_file_are_stored_once(tmp_path):  # E11
    weight = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["a"]),
        helper.make_node("MatMul", ["x", "two"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["logits"]),
    ]
    model = graphs.model(nodes, {"one": weight, "two": weight.copy()}, x=("batch", 300))
    x = np.ones((2, 300), np.float32)
    before = graphs.run(model, tmp_path, x=x)
    assert MergeConstants().broken(model) == ["two"]
    assert MergeConstants().apply(model) == 1
    assert list(graphs.constants(model)) == ["one"]
    assert np.array_equal(graphs.run(model, tmp_path, x=x), before)


def test_tidy_leaves_nothing_unused_and_sets_versions():
    model = graphs.linear()
    graph.initializer(model, "unused", np.zeros(1000, np.float32))
    step = Tidy(20, 8)
    assert step.broken(model) == ["unused", "IR version 9"]
    step.apply(model)
    assert step.broken(model) == []
    assert "unused" not in graphs.constants(model) and model.ir_version == 8
    assert Tidy(21, 8).broken(model) == ["opset 20"]


def test_whole_pipeline_gives_the_target_type_and_equal_numbers(tmp_path):
    for scheme in (U8S8, S8S8):
        model = graphs.linear()
        before = graphs.run(model, tmp_path, x=X)
        changes = passes.run(model, passes.integer_pipeline(scheme, 20, 9))
        assert (changes["fold weights"], changes["biases"]) == (1, 1)
        assert np.array_equal(graphs.run(model, tmp_path, x=X), before)
        kinds = {graph.grid(node).zero_point.dtype for node in graph.nodes(model, "QuantizeLinear")}
        assert kinds == {np.dtype(np.uint8 if scheme is U8S8 else np.int8)}


def test_a_broken_contract_stops_the_export():
    class Idle:
        name, contract = "idle", "nothing is done"

        def apply(self, model):
            return 0

        def broken(self, model):
            return ["Gemm product"]

    with pytest.raises(ModelError, match="idle.*Gemm product"):
        passes.run(graphs.linear(), [Idle()])
