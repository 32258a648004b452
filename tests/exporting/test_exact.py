"""Judging a file of 8-bit weights on a workstation whose products of them saturate."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeft.cpu import Cpu
from edgeft.exporting import sessions
from edgeft.exporting.exact import exact
from edgeft.exporting.sessions import answer, open_session

# Four products 255 * 127: 129540, and pairs of them 64770, which 16 bits cannot hold (32767).
BATCH = {"x": np.full((1, 4), 255, np.float32)}
SUM = 4 * 255 * 127


def linear_kernel(path, zero_point=0, data=np.uint8):
    """x float32 [n, 4], quantized with scale 1 -> logits [n, 2]: the sum of x times 127 and times -127."""
    stored = {
        "one": np.array(1, np.float32), "x_zero": np.array(0, data),
        "w": np.array([[127, -127]] * 4, np.int8), "w_scale": np.ones(2, np.float32),
        "w_zero": np.full(2, zero_point, np.int8), "bias": np.array([0.5, 0.25], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "x_zero"], ["x_q"]),
        helper.make_node("MatMulIntegerToFloat", ["x_q", "w", "one", "w_scale", "x_zero", "w_zero", "bias"], ["logits"],
                         domain="com.microsoft"),
    ]  # fmt: skip
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 4), ("logits", 2))
    ]
    graph = helper.make_graph(
        nodes, "linear", ends[:1], ends[1:], [numpy_helper.from_array(v, n) for n, v in stored.items()]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    )
    model.ir_version = 9
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("zero_point", [0, 3])
def test_moved_weights_give_the_exact_sums_on_every_processor(tmp_path, zero_point):
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(exact(linear_kernel(tmp_path / "m.onnx", zero_point)), settings)
    wanted = [[SUM - zero_point * 1020 + 0.5, -SUM - zero_point * 1020 + 0.25]]
    assert answer(session, BATCH).tolist() == wanted


@pytest.mark.parametrize("optimized", [False, True])
def test_a_file_is_judged_by_exact_sums(tmp_path, optimized):
    session = open_session(linear_kernel(tmp_path / "m.onnx"), optimized)
    assert answer(session, BATCH).tolist() == [[SUM + 0.5, -SUM + 0.25]]


@pytest.mark.parametrize("optimized", [False, True])
def test_products_of_two_int8_numbers_are_exact_as_they_are(tmp_path, optimized):
    path = linear_kernel(tmp_path / "m.onnx", data=np.int8)
    assert exact(path) is None
    session = open_session(path, optimized, {"session.qdqisint8allowed": "1"})
    batch = {"x": np.full((1, 4), 127, np.float32)}
    assert answer(session, batch).tolist() == [[4 * 127 * 127 + 0.5, -4 * 127 * 127 + 0.25]]


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("flags", [{"avx2"}, {"avx2", "avx_vnni"}])
def test_int8_weights_in_blocks_are_judged_as_they_are(tmp_path, monkeypatch, optimized, flags):
    """onnxruntime's way to exact sums breaks them: it gives them a zero point of the wrong rank."""
    monkeypatch.setattr(sessions, "read_cpu", lambda: Cpu("x86_64", flags=frozenset(flags)))
    weight = numpy_helper.from_array(np.full((32, 1), 2, np.int8), "w")
    scale = numpy_helper.from_array(np.full((1, 1), 0.5, np.float32), "s")
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["wf"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "wf"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, k]) for n, k in (("x", 32), ("y", 1)))
    model = helper.make_model(
        helper.make_graph(nodes, "blocks", [x], [y], [weight, scale]), opset_imports=[helper.make_opsetid("", 21)]
    )
    model.ir_version = 10
    onnx.save(model, tmp_path / "m.onnx")
    batch = {"x": np.ones((1, 32), np.float32)}
    # 32 ones times 2 * 0.5; the kernel rounds its data to int8, 1 / 127 at most off
    assert answer(open_session(tmp_path / "m.onnx", optimized), batch) == pytest.approx(32, rel=1e-3)


def test_a_file_without_linear_kernels_is_left_alone(tmp_path):
    path = linear_kernel(tmp_path / "m.onnx")
    model = onnx.load(path)
    for initializer in model.graph.initializer:
        if initializer.name in ("w", "w_zero"):
            moved = numpy_helper.to_array(initializer).astype(np.int16) + 128
            initializer.CopyFrom(numpy_helper.from_array(moved.astype(np.uint8), initializer.name))
    onnx.save(model, path)
    assert exact(path) is None


@pytest.mark.parametrize(
    "flags, saturates", [({"avx2"}, True), ({"avx2", "avx512bw"}, True), ({"avx2", "avx_vnni"}, False)]
)
def test_which_processors_saturate(flags, saturates):
    assert Cpu("x86_64", flags=frozenset(flags)).saturates is saturates
    assert not Cpu("aarch64", flags=frozenset({"asimd"})).saturates
