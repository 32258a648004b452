"""An attention kernel takes in the linear layers in front of it, and answers as before."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgeft.exporting import graph
from edgeft.exporting.passes.attention import AttentionKernels
from edgeft.exporting.passes.biases import is_float_on_grid
from tests.exporting import graphs

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
HEADS, WIDE = 2, 8
X = np.random.default_rng(1).normal(size=(2, 5, WIDE)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def attention(kind: type = np.uint8, scale: float = 1 / math.sqrt(WIDE / HEADS), packed: bool = False) -> ir.Model:
    """x -> QuantizeLinear -> three MatMulIntegerToFloat (or one, cut in three) -> MultiHeadAttention -> logits.

    Data have scale 1/32, weights scales 1/64 and 1/128 by column, biases are whole multiples of their products.
    """
    rng = np.random.default_rng(0)
    zero = np.array(128 if kind is np.uint8 else 0, kind)
    constants = {"s": np.float32(1 / 32), "z": zero}
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"])]

    def linear(name: str, columns: int) -> None:
        scales = np.where(np.arange(columns) % 2, 1 / 64, 1 / 128).astype(np.float32)
        constants[f"{name}_w"] = rng.integers(-127, 128, (WIDE, columns)).astype(np.int8)
        constants[f"{name}_ws"], constants[f"{name}_wz"] = scales, np.zeros(columns, np.int8)
        constants[f"{name}_b"] = (rng.integers(-500, 500, columns) * scales / 32).astype(np.float32)
        inputs = ["codes", f"{name}_w", "s", f"{name}_ws", "z", f"{name}_wz", f"{name}_b"]
        nodes.append(helper.make_node("MatMulIntegerToFloat", inputs, [name], name, domain="com.microsoft"))

    for number, name in enumerate("qkv"):
        if not packed:
            linear(name, WIDE)
            continue
        if number == 0:
            linear("all", 3 * WIDE)
        for place, value in (("from", number * WIDE), ("to", (number + 1) * WIDE), ("axis", 2)):
            constants[f"{name}_{place}"] = np.array([value])
        cut = ["all", *(f"{name}_{place}" for place in ("from", "to", "axis"))]
        nodes.append(helper.make_node("Slice", cut, [name], f"cut_{name}"))
    nodes.append(helper.make_node("Cast", ["mask"], ["padding"], to=onnx.TensorProto.INT32))
    how = {"num_heads": HEADS, "scale": scale, "domain": "com.microsoft"}
    nodes.append(helper.make_node("MultiHeadAttention", ["q", "k", "v", "", "padding"], ["logits"], "node_att", **how))
    made = helper.make_graph(
        nodes, "model",
        [helper.make_tensor_value_info("x", FLOAT, ["n", "t", WIDE]),
         helper.make_tensor_value_info("mask", INT64, ["n", "t"])],
        [helper.make_tensor_value_info("logits", FLOAT, ["n", "t", WIDE])],
        [numpy_helper.from_array(np.asarray(content), name) for name, content in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return ir.serde.deserialize_model(helper.make_model(made, opset_imports=opsets, ir_version=9))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scale", [1 / math.sqrt(WIDE / HEADS), 0.3])
def test_linear_layers_move_in_and_the_answer_stays(tmp_path, scale, packed):
    model = attention(scale=scale, packed=packed)
    before = graphs.run(model, tmp_path, x=X, mask=MASK)
    assert AttentionKernels().broken(model) == ["MultiHeadAttention node_att"]
    assert AttentionKernels().apply(model) == 1 and AttentionKernels().broken(model) == []
    assert graphs.types(model) == ["QuantizeLinear", "Cast", "QAttention"]
    (kernel,) = graph.nodes(model, "QAttention")
    # older releases have no scale of their own choice
    assert ("scale" in kernel.attributes) is (scale == 0.3) and kernel.name == "node_att"
    for optimized in (False, True):
        np.testing.assert_allclose(graphs.run(model, tmp_path, optimized, x=X, mask=MASK), before, rtol=1e-5, atol=1e-6)


def test_int8_data_stay_outside():
    model = attention(np.int8)
    assert AttentionKernels().broken(model) == [] and AttentionKernels().apply(model) == 0


def test_layers_of_other_data_stay_outside():
    model = attention()
    second = graph.nodes(model, "MatMulIntegerToFloat")[1]
    second.replace_input_with(2, graph.initializer(model, "other", np.float32(1)))
    assert AttentionKernels().apply(model) == 0


def test_a_layer_that_something_else_reads_stays_outside():
    model = attention()
    model.graph.outputs.append(graph.nodes(model, "MatMulIntegerToFloat")[0].outputs[0])
    node = ir.node("Relu", [graph.nodes(model, "MatMulIntegerToFloat")[0].outputs[0]])
    model.graph.append(node)
    assert AttentionKernels().apply(model) == 0


def test_bias_off_the_grid_of_the_products_is_seen():
    model = attention()
    AttentionKernels().apply(model)
    (kernel,) = graph.nodes(model, "QAttention")
    assert is_float_on_grid(kernel)
    spoiled = graph.array(kernel.inputs[2]).copy()
    spoiled[3] += 0.4 / 64 / 32  # scale of column 3: two fifths of a step
    kernel.replace_input_with(2, graph.initializer(model, "spoiled", spoiled))
    assert not is_float_on_grid(kernel)
