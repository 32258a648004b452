"""Data rounded with ranges taken at run time, against values by hand and against onnxruntime's own kernels."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgeft.quant.data import DataQuantizer, round_blocks, round_tensor
from edgeft.scheme import INT4, U8S8_DYNAMIC


def test_each_block_has_its_own_range() -> None:
    # blocks of 2: max 127 -> step 1, max 1.27 -> step 0.01, all zero -> zero
    x = torch.tensor([[127.0, 2.4, 1.27, 0.017, 0.0, 0.0]])
    assert torch.allclose(round_blocks(x, 2, 127), torch.tensor([[127.0, 2.0, 1.27, 0.02, 0.0, 0.0]]))


def test_a_tensor_has_one_range_that_holds_zero() -> None:
    # [-1, 4.1]: s = 0.02, z = 50; 0.013 -> 0.02, 0.009 -> 0
    x = torch.tensor([[-1.0, 4.1], [0.013, 0.009]])
    assert torch.allclose(round_tensor(x, 256, rows=False), torch.tensor([[-1.0, 4.1], [0.02, 0.0]]))
    # values above 0 only: the range begins at 0, s = 5.1 / 255 = 0.02
    assert torch.allclose(round_tensor(torch.tensor([5.1, 3.017]), 256, rows=False), torch.tensor([5.1, 3.02]))
    assert round_tensor(torch.zeros(3), 256, rows=False).tolist() == [0.0, 0.0, 0.0]


def test_rows_of_a_batch_are_rounded_as_if_alone() -> None:
    x = torch.randn(3, 5, 8) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    alone = torch.cat([round_tensor(row[None], 256, rows=False) for row in x])
    assert torch.equal(round_tensor(x, 256, rows=True), alone)
    assert not torch.equal(round_tensor(x, 256, rows=False), alone)


def test_gradients_pass_unchanged_and_only_in_training_is_rounded() -> None:
    x = torch.randn(4, 32, requires_grad=True)
    for scheme in (INT4, U8S8_DYNAMIC):
        assert scheme.linear_data is not None
        quantizer = DataQuantizer(scheme.linear_data, rows=False)
        assert quantizer(x) is x
        quantizer.mode = "train"
        y = quantizer(x)
        assert not torch.equal(y, x)
        (grad,) = torch.autograd.grad((y * torch.arange(32)).sum(), x)
        assert torch.equal(grad, torch.arange(32).float().expand(4, 32))
        quantizer.mode = "export"
        assert (quantizer(x) is x) == quantizer.in_kernel


def test_dynamic_quantize_linear_gives_the_same_numbers() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    x = torch.randn(50, 64)
    assert np.array_equal(_run(nodes, {}, x, 64, 20), round_tensor(x, 256, rows=False).numpy())


def _run(nodes, constants, x: torch.Tensor, wide: int, opset: int, level: str = "") -> np.ndarray:  # type: ignore
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", x.shape[1]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", wide])],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if level:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", level)
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


# quantization.md section 3, the table of test vectors: K, N, block, rows; far = the least difference from float sums
# at level 4 (a tenth of the table's, as the random numbers are others), near = the most from the simulation.
VECTORS = [
    (64, 16, 16, 4, 8.0e-3, 4.2e-7),
    (64, 16, 32, 1, 5.9e-3, 2.4e-7),
    (128, 32, 32, 8, 1.2e-2, 6.0e-7),
    (256, 64, 64, 1, 1.3e-2, 6.0e-7),
    (256, 64, 128, 3, 2.3e-2, 1.2e-6),
]


@pytest.mark.parametrize("inputs, outputs, block, rows, far, near", VECTORS)
@pytest.mark.parametrize("bits", [4, 8])
def test_matmulnbits_computes_what_is_simulated(
    inputs: int, outputs: int, block: int, rows: int, far: float, near: float, bits: int
) -> None:
    rng = np.random.default_rng(0)
    top = 2 ** (bits - 1)
    codes = rng.integers(-top, top, (inputs, outputs))
    scale = (rng.uniform(0.01, 0.02, (inputs // block, outputs)) * 8 / top).astype(np.float32)
    kind = TensorProto.INT4 if bits == 4 else TensorProto.INT8
    constants = [
        helper.make_tensor("w", kind, codes.shape, codes.ravel().tolist()),
        numpy_helper.from_array(scale, "s"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["w_dq"], axis=0, block_size=block),
        helper.make_node("MatMul", ["x", "w_dq"], ["y"]),
    ]
    x = torch.from_numpy(rng.normal(size=(rows, inputs)).astype(np.float32))
    weight = torch.from_numpy((codes * np.repeat(scale, block, 0)).astype(np.float32))
    simulated, exact = (round_blocks(x, block, 127) @ weight).numpy(), (x @ weight).numpy()
    for level in ("", "4"):  # without a word onnxruntime takes level 4
        found = _run(nodes, constants, x, outputs, 21, level)
        assert np.abs(found - simulated).max() < 4 * near
        assert far / 10 < np.abs(found - exact).max() < 4 * far
    for level in ("0", "1"):
        assert np.abs(_run(nodes, constants, x, outputs, 21, level) - exact).max() < 4 * near
