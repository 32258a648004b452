"""Fake-quantization arithmetic against values worked out by hand and against onnxruntime's own kernels."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from edgeft.quant.ops import DTYPE_CODES, FakeQuantize, RoundBias, fq


def test_forward_by_hand() -> None:
    # s = 0.5, z = 3 on u8: codes of -2, -1.5, 0.26, 0.25, 0.75, 200 are -1->0, 0, 4, 3 (tie to even), 5 (tie), 255
    x = torch.tensor([-2.0, -1.5, 0.26, 0.25, 0.75, 200.0])
    y = FakeQuantize.apply(x, torch.tensor(0.5), 0.0 - 3, 255.0 - 3, 0, 255)
    assert y.tolist() == [-1.5, -1.5, 0.5, 0.0, 1.0, 126.0]


def test_operator_equals_training_forward() -> None:
    x = torch.randn(1000) * 3
    s, z = torch.tensor(0.0217), 120
    trained = FakeQuantize.apply(x, s, 0.0 - z, 255.0 - z, 0, 255)
    exported = fq(x, s, torch.tensor(z, dtype=torch.int32), -1, DTYPE_CODES["u8"])
    assert torch.equal(trained, exported)


@pytest.mark.parametrize("scale", [0.1, 0.0123, 1 / 3, 0.07])
def test_ties_fall_where_onnxruntime_puts_them(scale: float) -> None:
    codes = np.arange(-300, 300, dtype=np.float32) + 0.5
    x = (codes * np.float32(scale)).astype(np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("s", TensorProto.FLOAT, [], [scale]),
            helper.make_tensor("z", TensorProto.UINT8, [], [128]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    ours = FakeQuantize.apply(torch.from_numpy(x), torch.tensor(scale), -128.0, 127.0, 0, 255)
    assert np.array_equal(ours.numpy(), expected)


def test_straight_through_gradient_stops_outside_the_range() -> None:
    x = torch.tensor([-1.0, 0.3, 100.0], requires_grad=True)
    FakeQuantize.apply(x, torch.tensor(0.1), 0.0, 255.0, 0, 255).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 0.0]


def test_step_size_gradient_by_hand() -> None:
    # v = x / s = -4, 1.25, 400: slopes are low = 0 (below), round(v) - v = -0.25, high = 255 (above)
    # ds = (0 - 0.25 + 255) / sqrt(3 * 255)
    x = torch.tensor([-2.0, 0.625, 200.0], requires_grad=True)
    s = torch.tensor(0.5, requires_grad=True)
    FakeQuantize.apply(x, s, 0.0, 255.0, 0, 255).sum().backward()
    assert s.grad is not None
    assert s.grad.item() == pytest.approx(254.75 / (3 * 255) ** 0.5, rel=1e-6)
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 0.0]


def test_step_size_gradient_per_channel_equals_per_tensor_on_each_channel() -> None:
    w = torch.randn(3, 4, 2)
    s = torch.tensor([0.01, 0.02, 0.05], requires_grad=True)
    upstream = torch.randn(3, 4, 2)
    (FakeQuantize.apply(w, s, -127.0, 127.0, 0, 127) * upstream).sum().backward()
    assert s.grad is not None
    for c in range(3):
        one = s.detach()[c].clone().requires_grad_()
        (FakeQuantize.apply(w[c], one, -127.0, 127.0, 0, 127) * upstream[c]).sum().backward()
        # the gradient scale counts the whole tensor: 24 values instead of 8
        assert one.grad is not None
        assert s.grad[c].item() == pytest.approx(one.grad.item() * (8 / 24) ** 0.5, rel=1e-5)


def test_step_size_gradient_does_not_depend_on_the_memory_layout() -> None:
    x, upstream = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        s = torch.tensor(0.01, requires_grad=True)
        y = FakeQuantize.apply(x.to(memory_format=layout), s, -100.0, 100.0, 0, 255)
        (y * upstream).sum().backward()
        assert s.grad is not None
        found.append(s.grad.item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_bias_rounds_to_int32_steps_and_saturates() -> None:
    bias = torch.tensor([0.0149, -1.0, 3e9], requires_grad=True)
    scale = torch.tensor([0.01, 0.3, 1.0])
    rounded = RoundBias.apply(bias, scale)
    assert rounded[0].item() == pytest.approx(0.01)
    assert rounded[1].item() == pytest.approx(-0.9)
    assert rounded[2].item() == float(np.float32(2**31 - 1))
    rounded.sum().backward()
    assert bias.grad is not None and bias.grad.tolist() == [1.0, 1.0, 1.0]
