"""Each gate on a file it passes and on one that has the fault it is there for."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edgeft.exporting import gates, graph, passes
from edgeft.exporting.gates.agreement import AgainstTorch, OffAgainstOn, cosine, histogram
from edgeft.exporting.gates.coverage import Coverage
from edgeft.exporting.gates.form import Biases, Contracts, DataInside, Inference
from edgeft.exporting.gates.inside import FiniteInside
from edgeft.exporting.gates.running import Batches, Finite, Repeats, Shapes
from edgeft.exporting.gates.size import Size
from edgeft.exporting.passes.biases import QuantizeBiases
from edgeft.exporting.passes.fold_weights import FoldWeights
from edgeft.exporting.passes.linear import LinearKernels
from edgeft.scheme import U8S8
from edgeft.tasks.task import TensorSpec
from tests.exporting import graphs

PIPELINE = passes.integer_pipeline(U8S8, 20, 9)


@pytest.fixture
def good():
    """An integer linear layer as the passes leave it."""
    model = graphs.linear()
    passes.run(model, PIPELINE)
    return model


def product(model):
    return graph.nodes(model, "Gemm", "Conv", "MatMul")[0]


def test_a_good_file_passes_every_gate(good, tmp_path):
    judged = graphs.artifact(good, tmp_path, predicted_bytes=12 + 12 + 3 * 13)
    outcomes = gates.run_all(judged, gates.integer_gates(PIPELINE, U8S8))
    assert [outcome["gate"] for outcome in outcomes if not outcome["passed"]] == []
    assert len({outcome["gate"] for outcome in outcomes}) == len(outcomes) == 13


# --- coverage ---


def test_coverage_names_a_weight_stored_in_float(good, tmp_path):
    product(good).replace_input_with(1, graph.initializer(good, "w_float", np.ones((4, 3), np.float32)))
    outcome = Coverage().run(graphs.artifact(good, tmp_path))
    assert not outcome.passed
    assert outcome.evidence == "0 of 1 products run in integer kernels"
    assert outcome.places == ("Gemm product (its weight is stored in float)",)


def _conv(quantized_after: bool = True, x_scale=None, weight_shape=(3, 3, 1, 1)):
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=0),
        helper.make_node("Conv", ["x_dq", "w_dq"], ["y"], "conv"),
        helper.make_node("Clip", ["y", "low", "high"], ["c" if quantized_after else "logits"], "clip"),
        *(graphs.pair("c", "logits", "y_scale", "y_zero") if quantized_after else []),
    ]
    scale = np.float32(0.05) if x_scale is None else x_scale
    constants = {
        "x_scale": scale, "x_zero": np.full(np.shape(scale), 128, np.uint8), "w": np.ones(weight_shape, np.int8),
        "w_scale": np.full(3, 0.02, np.float32), "w_zero": np.zeros(3, np.int8), "low": np.float32(0),
        "high": np.float32(6),
        "y_scale": np.full(np.shape(scale), 6 / 255, np.float32), "y_zero": np.zeros(np.shape(scale), np.uint8),
    }  # fmt: skip
    if not quantized_after:
        del constants["y_scale"], constants["y_zero"]
    return graphs.model(nodes, constants, x=("batch", 3, 4, 4), y=("batch", 3, 4, 4))


def test_coverage_names_a_missing_output_quantizer(tmp_path):
    assert Coverage().run(graphs.artifact(_conv(), tmp_path)).passed
    outcome = Coverage().run(graphs.artifact(_conv(quantized_after=False), tmp_path))
    assert not outcome.passed and outcome.places == ("Conv conv (its output is not quantized)",)


def test_coverage_names_a_scale_of_shape_1(tmp_path):
    # quantization.md 4.4: with shape [1] the Clip stays and the convolution is computed in float.
    outcome = Coverage().run(graphs.artifact(_conv(x_scale=np.array([0.05], np.float32)), tmp_path))
    assert not outcome.passed and outcome.places == ("Conv conv (a scale has shape [1])",)


def _conv_relu(zero):
    """x -> Conv -> Relu -> logits, all in s8; `zero` is the zero point of the logits."""
    nodes = [
        *graphs.pair("x", "x_dq", "x_scale", "x_zero"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_dq"], "w_dq", axis=0),
        helper.make_node("Conv", ["x_dq", "w_dq"], ["y"], "conv"),
        helper.make_node("Relu", ["y"], ["r"], "relu"),
        *graphs.pair("r", "logits", "y_scale", "y_zero"),
    ]
    constants = {
        "x_scale": np.float32(0.05), "x_zero": np.int8(0), "w": np.ones((3, 3, 1, 1), np.int8),
        "w_scale": np.full(3, 0.02, np.float32), "w_zero": np.zeros(3, np.int8), "y_scale": np.float32(0.1),
        "y_zero": np.int8(zero),
    }  # fmt: skip
    return graphs.model(nodes, constants, x=("batch", 3, 4, 4), y=("batch", 3, 4, 4))


def test_coverage_names_an_int8_relu_with_zero_point_0(tmp_path):
    # quantization.md 4.2: the Relu goes only where the grid ends at zero, which is the code -128.
    options = {"session.qdqisint8allowed": "1"}
    assert Coverage().run(graphs.artifact(_conv_relu(-128), tmp_path, options=options)).passed
    outcome = Coverage().run(graphs.artifact(_conv_relu(0), tmp_path, options=options))
    assert not outcome.passed
    why = "the Relu behind it is computed: with zero point 0 its int8 grid goes beyond it"
    assert outcome.places == (f"Conv conv ({why})",)


def test_coverage_names_a_clip_the_grid_goes_beyond(tmp_path):
    # 6 / 255 ends at 6; a learned scale a little larger does not.
    model = _conv()
    for node in graph.nodes(model, "QuantizeLinear", "DequantizeLinear"):
        if node.inputs[1].name == "y_scale":
            node.replace_input_with(1, graph.initializer(model, "wide", np.float32(6.1 / 255)))
    outcome = Coverage().run(graphs.artifact(model, tmp_path))
    assert not outcome.passed and "the Clip behind it is computed: with zero point 0" in outcome.places[0]


def test_coverage_accepts_a_float_product_only_with_the_engines_reason(good, tmp_path):
    product(good).replace_input_with(1, graph.initializer(good, "w_float", np.ones((4, 3), np.float32)))
    outcome = Coverage().run(graphs.artifact(good, tmp_path, float_nodes={"product": "a rotary table"}))
    assert outcome.passed and outcome.places == ("Gemm product (a rotary table)",)
    assert not Coverage().run(graphs.artifact(good, tmp_path, float_nodes={"other": "a rotary table"})).passed


def test_coverage_of_a_file_without_products_fails(tmp_path):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    assert not Coverage().run(graphs.artifact(model, tmp_path)).passed


# --- form ---


def test_foreign_bias_scale_on_a_gemm_is_caught(good, tmp_path):
    # quantization.md 4.3: onnxruntime 1.32 computes this wrongly and says nothing.
    bias = graph.stored_weight(product(good).inputs[2])
    bias.replace_input_with(1, graph.initializer(good, "foreign", graph.array(bias.inputs[1]) * np.float32(1.5)))
    outcome = Biases().run(graphs.artifact(good, tmp_path))
    assert not outcome.passed
    assert outcome.line() == (
        "0 of 1 biases are multiples of s_x * s_w that fit int32, 1 of them stored as such: Gemm product"
    )


def test_float_bias_of_a_kernel_lies_on_the_accumulators_grid(tmp_path):
    # s_x * s_w = 0.5 * (0.25, 0.5, 1): the biases 1, -2, 3 are 8, -8, 6 steps; 1.06 is 8.48 of them.
    model = graphs.linear(op="MatMul")
    for step in (FoldWeights(), QuantizeBiases(), LinearKernels()):
        step.apply(model)
    kernel = graph.nodes(model, graph.LINEAR_KERNEL)[0]
    assert graph.array(kernel.inputs[6]).tolist() == [1, -2, 3]
    assert Biases().run(graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32))).passed
    kernel.replace_input_with(6, graph.initializer(model, "off", np.array([1.06, -2, 3], np.float32)))
    outcome = Biases().run(graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32)))
    assert not outcome.passed and outcome.places == ("MatMulIntegerToFloat node_product",)


def test_bias_scale_may_differ_by_a_millionth_only(good, tmp_path):
    bias = graph.stored_weight(product(good).inputs[2])
    own = graph.array(bias.inputs[1])
    for factor, passed in ((1 + 5e-7, True), (1 + 2e-6, False)):
        bias.replace_input_with(1, graph.initializer(good, "near", (own * factor).astype(np.float32)))
        assert Biases().run(graphs.artifact(good, tmp_path)).passed is passed


def test_clipped_bias_is_caught(good, tmp_path):
    bias = graph.stored_weight(product(good).inputs[2])
    bias.replace_input_with(0, graph.initializer(good, "clipped", np.array([8, -8, 2**31 - 1], np.int32)))
    assert not Biases().run(graphs.artifact(good, tmp_path)).passed


def test_float_bias_is_caught(good, tmp_path):
    product(good).replace_input_with(2, graph.initializer(good, "b_float", np.ones(3, np.float32)))
    assert not Biases().run(graphs.artifact(good, tmp_path)).passed


def _with_weight_quantize(model):
    source = graph.stored_weight(product(model).inputs[1])
    weight = graph.initializer(model, "w_float", np.ones((4, 3), np.float32))
    codes = graph.before(model, source, "QuantizeLinear", [weight, *source.inputs[1:]], "w_codes", axis=1)
    source.replace_input_with(0, codes)


def _with_vector_scale(model):
    node = graph.nodes(model, "QuantizeLinear")[0]
    node.replace_input_with(1, graph.initializer(model, "vector", np.array([0.5], np.float32)))


def _with_transpose(model):
    node = product(model)
    turned = graph.before(model, node, "Transpose", [node.inputs[1]], "turned", perm=[1, 0])
    again = graph.before(model, node, "Transpose", [turned], "back", perm=[1, 0])
    node.replace_input_with(1, again)


def _with_shared_weight(model):
    node = product(model)
    extra = graph.before(model, node, "Gemm", [node.inputs[0], node.inputs[1]], "extra")
    model.graph.outputs.append(extra)
    extra.type, extra.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["batch", 3])


def _with_unused_constant(model):
    graph.initializer(model, "left_over", np.zeros(9, np.float32))


@pytest.mark.parametrize(
    "spoil, contract",
    [
        (_with_weight_quantize, "no QuantizeLinear reads a constant"),
        (_with_vector_scale, "scale or zero point of shape [1]"),
        (_with_transpose, "no stored weight is transposed"),
        (_with_shared_weight, "no quantized constant has two readers"),
        (_with_unused_constant, "nothing unused is stored"),
    ],
)
def test_form_reads_every_contract_from_the_file(good, tmp_path, spoil, contract):
    assert Contracts(PIPELINE).run(graphs.artifact(good, tmp_path)).passed
    spoil(good)
    outcome = Contracts(PIPELINE).run(graphs.artifact(good, tmp_path, expected=np.zeros((40, 3), np.float32)))
    assert not outcome.passed and any(contract in place for place in outcome.places)


def test_form_knows_a_dequantized_table(tmp_path):
    nodes = [
        helper.make_node("DequantizeLinear", ["table", "scale", "zero"], ["table_dq"], "table_dq"),
        helper.make_node("Gather", ["table_dq", "x"], ["logits"], "look_up"),
    ]
    constants = {"table": np.ones((9, 3), np.int8), "scale": np.float32(1), "zero": np.int8(0)}
    model = graphs.model(nodes, constants, x=("batch",), x_type=onnx.TensorProto.INT64)
    outcome = Contracts(PIPELINE).run(graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32)))
    assert any("before the Gather of a table: Gather look_up" in place for place in outcome.places)


def test_training_mode_is_caught(tmp_path):  # Q04
    constants = {"ratio": np.float32(0.5), "training": np.bool_(True)}
    for inputs, passed in ((["x"], True), (["x", "ratio", "training"], False)):
        node = helper.make_node("Dropout", inputs, ["logits"], "drop")
        model = graphs.model([node], constants if len(inputs) > 1 else {}, x=("batch", 3))
        judged = graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32))
        assert Inference().run(judged).passed is passed


def test_dropout_in_training_mode_is_not_repeatable(tmp_path):  # Q04
    constants = {"ratio": np.float32(0.5), "training": np.bool_(True)}
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["logits"], "drop")
    model = graphs.model([node], constants, x=("batch", 3))
    assert not Repeats().run(graphs.artifact(model, tmp_path, expected=np.zeros((40, 3), np.float32))).passed
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    assert Repeats().run(graphs.artifact(model, tmp_path)).passed


@pytest.mark.parametrize("location, inside", [("w.data", True), ("../../secret", False), ("/etc/secret", False),
                                              ("a/b", False), ("..\\secret", False)])  # fmt: skip
def test_data_outside_the_bundle_is_caught(tmp_path, location, inside):  # K02
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[3])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": "12"}.items():
        tensor.external_data.add(key=key, value=value)
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    proto = ir.serde.serialize_model(model)
    proto.graph.initializer.append(tensor)
    judged = graphs.artifact(model, tmp_path)
    judged.path.write_bytes(proto.SerializeToString())
    outcome = DataInside().run(judged)
    assert outcome.passed is inside
    assert inside or f"w at {location}" in outcome.line()


# --- running ---


def test_a_batch_size_baked_into_a_reshape_is_caught(tmp_path):  # E01
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"], "reshape"),
        helper.make_node("ReduceSum", ["r", "axes"], ["logits"], "sum", keepdims=0),
    ]
    constants = {"shape": np.array([6, 2, 3], np.int64), "axes": np.array([1], np.int64)}
    model = graphs.model(nodes, constants, x=("batch", 6), y=("batch", 3))
    judged = graphs.artifact(model, tmp_path, rows=6)
    (outcome,) = gates.run_all(judged, [Batches()])
    assert not outcome["passed"] and "reshape" in outcome["evidence"]
    constants["shape"] = np.array([-1, 2, 3], np.int64)
    model = graphs.model(nodes, constants, x=("batch", 6), y=("batch", 3))
    assert Batches().run(graphs.artifact(model, tmp_path, rows=6)).passed


def test_a_row_that_depends_on_its_batch_is_caught(tmp_path):  # E01
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], "mean", keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["logits"], "minus"),
    ]
    model = graphs.model(nodes, {"axes": np.array([0], np.int64)}, x=("batch", 3))
    outcome = Batches().run(graphs.artifact(model, tmp_path))
    assert not outcome.passed and "batch 1 gives other logits" in outcome.places[0]


def test_a_fixed_axis_is_not_as_declared(good, tmp_path):  # E15
    judged = graphs.artifact(good, tmp_path)
    assert Shapes().run(judged).passed
    judged.inputs = [TensorSpec("x", "float32", (1, 4))]
    assert not Shapes().run(judged).passed
    judged.inputs = [TensorSpec("pixels", "float32", ("batch", 4))]
    assert "pixels" in Shapes().run(judged).line()


def test_outputs_that_are_not_finite_are_named(tmp_path):  # E04
    model = graphs.model([helper.make_node("Log", ["x"], ["logits"], "log")], {}, x=("batch", 3))
    judged = graphs.artifact(model, tmp_path, rows=3, expected=np.zeros((3, 3), np.float32))
    judged.batches = [{"x": np.array([[1, 2, 3], [1, -1, 2], [0, 1, 1]], np.float32)}]
    outcome = Finite().run(judged)
    assert not outcome.passed
    assert outcome.line() == "1 of 3 samples have finite outputs: s1, s2"
    assert not AgainstTorch().run(judged).passed and not OffAgainstOn().run(judged).passed


@pytest.mark.parametrize("value", [-1.0, 0.0], ids=["nan", "inf"])
def test_a_hidden_number_that_is_not_finite_is_caught(tmp_path, value):
    # log(-1) is a NaN and log(0) -inf; QuantizeLinear makes codes of both, and the outputs are finite.
    nodes = [
        helper.make_node("Log", ["x"], ["log"], "log"),
        *graphs.pair("log", "logits", "x_scale", "x_zero"),
    ]
    constants = {"x_scale": np.float32(0.05), "x_zero": np.uint8(128)}
    model = graphs.model(nodes, constants, x=("batch", 3))
    batches = [{"x": np.full((4, 3), 2, np.float32)}, {"x": np.array([[1, 2, 3], [1, value, 2]], np.float32)}]
    judged = graphs.artifact(model, tmp_path, rows=6, batches=batches)
    assert Finite().run(judged).passed
    outcome = FiniteInside().run(judged)
    assert not outcome.passed
    assert outcome.line() == (
        "0 of 1 quantized tensors are finite on 6 samples: what QuantizeLinear logits_q reads"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["judged.onnx"]
    assert FiniteInside(samples=4).run(judged).evidence == "1 of 1 quantized tensors are finite on 4 samples"


def test_a_file_that_quantizes_nothing_while_it_runs_has_nothing_to_watch(tmp_path):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    outcome = FiniteInside().run(graphs.artifact(model, tmp_path))
    assert outcome.passed and outcome.evidence == "no tensor is quantized while the model runs"


@pytest.mark.parametrize("scale", [np.nan, np.inf, 0.0, -0.5])
def test_a_scale_that_is_no_positive_number_is_caught(good, tmp_path, scale):
    assert FiniteInside().run(graphs.artifact(good, tmp_path)).passed
    source = graph.nodes(good, "DequantizeLinear")[0]
    source.replace_input_with(1, graph.initializer(good, "spoiled", np.float32(scale)))
    outcome = FiniteInside().run(graphs.artifact(good, tmp_path))
    assert not outcome.passed and "the scale of DequantizeLinear" in outcome.line()


# --- agreement ---


def test_cosine_by_hand():
    assert cosine(np.array([[3, 4]], np.float32), np.array([[4, 3]], np.float32)) == pytest.approx(24 / 25)
    assert cosine(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)) == 1


def _relu(tmp_path, expected):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    judged = graphs.artifact(model, tmp_path, rows=len(expected), expected=expected)
    return judged


def test_a_harmless_difference_of_large_logits_passes(tmp_path):  # E05
    x = np.random.default_rng(0).uniform(25, 35, (256, 3)).astype(np.float32)
    judged = _relu(tmp_path, x + np.float32(3e-3))
    judged.batches = [{"x": x}]
    outcome = AgainstTorch().run(judged)
    assert outcome.passed and outcome.evidence.startswith("same answer on 256 of 256, cosine 1.000000")


def test_one_wrong_weight_fails(good, tmp_path):  # E05, E12, Q13
    right = graphs.artifact(good, tmp_path, rows=256).plain
    weight = graph.stored_weight(product(good).inputs[1])
    codes = graph.array(weight.inputs[0]).copy()
    codes[0, 0] += 40
    weight.replace_input_with(0, graph.initializer(good, "wrong", codes))
    outcome = AgainstTorch().run(graphs.artifact(good, tmp_path, rows=256, expected=right))
    assert not outcome.passed and len(outcome.places) > 1


def test_two_other_answers_in_256_are_too_many(tmp_path):  # Q13
    x = np.tile(np.array([[2, 1, 0.5]], np.float32), (256, 1))
    for wrong, passed in ((1, True), (2, False)):
        expected = x.copy()
        expected[:wrong, :2] = 1.999, 2.0
        judged = _relu(tmp_path, expected)
        judged.batches = [{"x": x}]
        outcome = AgainstTorch(least_cosine=0.99).run(judged)
        assert outcome.passed is passed and outcome.places == tuple(f"s{index}" for index in range(wrong))


@pytest.mark.parametrize("samples", [10, 172])
def test_one_other_answer_is_no_evidence_however_few_samples(tmp_path, samples):
    """One of 172 is 0.58 %, over the 0.5 % allowed; two are too many."""
    x = np.tile(np.array([[2, 1, 0.5]], np.float32), (samples, 1))
    for wrong in (1, 2):
        expected = x.copy()
        expected[:wrong, :2] = 1.999, 2.0
        judged = _relu(tmp_path, expected)
        judged.batches = [{"x": x}]
        assert AgainstTorch(least_cosine=0.9).run(judged).passed is (wrong == 1)


@pytest.mark.parametrize("shift, ties", [(1.0, 8), (0.1, 0)])
def test_answers_that_reordered_sums_may_swap_are_ties(tmp_path, shift, ties):
    """8 of 256 answers differ, by 1 in the logits. With reordered sums one logit of three moves by `shift`: the root of
    the mean square is shift / sqrt(3), and four times that covers a margin of 1 for a shift of 1, not of 0.1."""
    file = np.tile(np.array([[9, 8, 0.5]], np.float32), (256, 1))
    expected = file.copy()
    expected[:8, :2] = 8, 9
    judged = _relu(tmp_path, expected)
    judged.batches = [{"x": file}]
    judged.reordered = expected + np.array([[0, 0, shift]], np.float32)
    outcome = AgainstTorch(least_cosine=0.99).run(judged)
    assert outcome.passed is (ties == 8) and len(outcome.places) == 8 - ties
    assert (f"{ties} of the other answers are ties in torch" in outcome.evidence) is (ties > 0)


def test_a_model_may_be_as_far_from_its_file_as_from_itself(tmp_path):
    # unit vectors at small angles: the cosine of 0.02 rad is 0.9998, that of 0.05 rad 0.99875
    def turned(angle):
        return np.tile(np.array([[np.cos(angle), np.sin(angle), 0]], np.float32), (256, 1))

    for to_file, to_itself, passed in ((0.02, 0.02, True), (0.05, 0.02, False), (0.02, 0.001, False), (0.01, 0, True)):
        judged = _relu(tmp_path, turned(to_file))
        judged.batches = [{"x": turned(0)}]
        judged.reordered = turned(to_file + to_itself)
        assert AgainstTorch().run(judged).passed is passed, (to_file, to_itself)
    judged.expected, judged.reordered = turned(0.02), None
    assert not AgainstTorch().run(judged).passed


def test_foreign_bias_scale_shows_between_optimizer_off_and_on(good, tmp_path):
    # The same fault as above, seen by what it does: x 200 turns the answers.
    bias = graph.stored_weight(product(good).inputs[2])
    bias.replace_input_with(1, graph.initializer(good, "foreign", graph.array(bias.inputs[1]) * np.float32(200)))
    outcome = OffAgainstOn().run(graphs.artifact(good, tmp_path))
    assert not outcome.passed and "steps of the output grid" in outcome.evidence


def test_histogram_counts_steps():
    one = np.array([[0, 1, 2, 3]], np.float32)
    other = np.array([[0, 1.5, 3, 5]], np.float32)
    assert histogram(one, other, 0.5) == {"0": 0.25, "1": 0.25, "2": 0.25, "more": 0.25}


# --- size ---


def test_a_weight_stored_in_float_is_too_large(tmp_path):
    weight = np.random.default_rng(0).integers(-9, 9, (4, 3000)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"], "product")]
    model = graphs.model(nodes, {"w": weight}, y=("batch", 3000))
    expected = np.zeros((40, 3000), np.float32)
    assert Size().run(graphs.artifact(model, tmp_path, expected=expected, predicted_bytes=48_000)).passed
    outcome = Size().run(graphs.artifact(model, tmp_path, expected=expected, predicted_bytes=12_000))
    assert not outcome.passed
    assert outcome.places == ("w [4, 3000] is stored in FLOAT",)


def test_names_may_not_fill_the_file(good, tmp_path):
    assert Size().run(graphs.artifact(good, tmp_path, predicted_bytes=100)).passed
    product(good).metadata_props["trace"] = "x" * 50_000
    assert not Size().run(graphs.artifact(good, tmp_path, predicted_bytes=100)).passed


def test_a_file_that_cannot_run_fails_and_says_why(tmp_path):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"])], {}, x=("batch", 3))
    judged = graphs.artifact(model, tmp_path)
    del judged.__dict__["plain"], judged.__dict__["plain_session"]
    judged.path.write_bytes(b"no model")
    (outcome,) = gates.run_all(judged, [AgainstTorch()])
    assert not outcome["passed"] and "judged.onnx" in outcome["evidence"]
