"""Gate: every product of matrices runs in an integer kernel, read from the graph onnxruntime really runs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome

INTEGER_KERNELS = frozenset(
    {
        "QLinearConv", "QGemm", "QLinearMatMul", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger",
        "DynamicQuantizeMatMul", "QAttention",
    }
)  # fmt: skip
FLOAT_KERNELS = frozenset(
    {
        "Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul",
        "FusedMatMulActivation", "TransposeMatMul", "Einsum", "Attention", "MultiHeadAttention", "GroupQueryAttention",
        "MatMulNBits", "LSTM", "GRU", "RNN",
    }
)  # fmt: skip
# onnxruntime calls the kernel it fuses from a node by that node's name and a number of its own, and one that works on
# blocked channels by the output it writes.
_TOKEN = re.compile(r"(_token_\d+|_nchwc)$")
_INT8_DATA = 4
_CLIPS = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh")


@dataclass(frozen=True)
class Product:
    """One product in the graph that runs.

    name    of the node as written
    op      operator as written
    kernel  operator that runs
    reason  why it runs in float; empty for an integer kernel
    """

    name: str
    op: str
    kernel: str
    integer: bool
    reason: str = ""


def products(artifact: Artifact) -> list[Product]:
    """Every product of the graph that runs, in its order."""
    written = {str(node.name): node for node in artifact.model.graph}
    makers = {str(output.name): node for node in artifact.model.graph for output in node.outputs}
    found = []
    for node in artifact.optimized_model.graph:
        if node.op_type not in INTEGER_KERNELS | FLOAT_KERNELS:
            continue
        given = _TOKEN.sub("", str(node.name))
        source = written.get(str(node.name)) or written.get(given) or _maker(node, given, makers)
        name = str((source or node).name)
        op = (source or node).op_type
        integer = node.op_type in INTEGER_KERNELS or _in_integer_blocks(node)
        found.append(Product(name, op, node.op_type, integer, "" if integer else reason(source, artifact)))
    return found


def _in_integer_blocks(node: ir.Node) -> bool:
    """Weights in blocks, and data rounded to int8 in the same blocks: accuracy level 4. Below it the sums are float."""
    level = node.attributes.get("accuracy_level")
    return node.op_type == "MatMulNBits" and level is not None and level.as_int() == _INT8_DATA


def _maker(node: ir.Node, given: str, makers: dict[str, ir.Node]) -> ir.Node | None:
    """The product that, as written, made this fused node's output: an activation may have been fused behind it."""
    # Convolutions in blocked layout carry the name of what they compute.
    plain = str(node.name).removesuffix("_nchwc")
    maker = makers.get(str(node.outputs[0].name)) or makers.get(given) or makers.get(plain)
    for _ in range(4):
        if maker is None or maker.op_type in (*graph.PRODUCTS, "MatMulInteger"):
            return maker
        maker = maker.inputs[0].producer() if maker.inputs and maker.inputs[0] is not None else None
    return None


def reason(node: ir.Node | None, artifact: Artifact) -> str:
    """Why a product of the written graph cannot be an integer one: the decision, or what it lacks."""
    if node is None:
        return "onnxruntime made it of other operators"
    return decided(node, artifact) or _lacks(node) or "onnxruntime has no integer kernel for it here"


def decided(node: ir.Node, artifact: Artifact) -> str:
    """The reason the quantization engine gave for leaving this node float; empty when it gave none."""
    names = {name for part in (node, *_bias_sum(node)) for name in _names(part)}
    return next((why for name, why in artifact.float_nodes.items() if name in names), "")


def _names(node: ir.Node) -> set[str]:
    return {str(node.name).removeprefix("node_"), *(str(output.name) for output in node.outputs)}


def _bias_sum(node: ir.Node) -> list[ir.Node]:
    """The Add of a constant behind a MatMul: a linear layer is written as both, and the engine's name is the sum's."""
    users = list(node.outputs[0].consumers())
    if node.op_type != "MatMul" or len(users) != 1 or users[0].op_type != "Add":
        return []
    return users if any(graph.array(value) is not None for value in users[0].inputs) else []


def _lacks(node: ir.Node) -> str:
    weight = graph.stored_weight(node.inputs[1])
    grid = graph.grid(weight) if weight is not None else None
    if grid is not None and grid.block:
        behind = graph.dequantize_of(node.inputs[0]) is not None
        return "its data stands behind a DequantizeLinear" if behind else "its weight in blocks was not fused"
    if graph.dequantize_of(node.inputs[0]) is None:
        return "its data is not quantized"
    if graph.producer_of(node.inputs[1], "DequantizeLinear") is None:
        constant = graph.array(node.inputs[1]) is not None
        return "its weight is stored in float" if constant else "its second factor is not quantized"
    for value in node.inputs[:2]:
        source = graph.dequantize_of(value)
        grid = graph.grid(source) if source is not None else None
        if grid is not None and grid.scale.shape == (1,):
            return "a scale has shape [1]"
        if grid is not None and grid.zero_point.dtype.itemsize > 1:
            return "there is no kernel for 16-bit activations"
    slot = graph.bias_slot(node)
    if slot is not None and graph.stored_weight(slot[0].inputs[slot[1]]) is None:
        return "its bias is stored in float"
    clip = _clip_that_stays(node)
    if clip:
        return clip
    return "" if _is_quantized_after(node) else "its output is not quantized"


def _clip_that_stays(node: ir.Node) -> str:
    """Why a Relu or Clip between the product and its QuantizeLinear is computed: it does more than the grid does."""
    users = [user for output in node.outputs for user in output.consumers()]
    after = list(users[0].outputs[0].consumers()) if len(users) == 1 and users[0].op_type in _BOUNDS else []
    grid = graph.grid(after[0]) if len(after) == 1 and after[0].op_type == "QuantizeLinear" else None
    if grid is None or grid.scale.size != 1:
        return ""
    kind, clip = np.iinfo(grid.zero_point.dtype), users[0]
    low, high = _BOUNDS[clip.op_type](clip)
    zero = int(grid.zero_point.reshape(()))
    # What onnxruntime asks: a bound, rounded to its code, lies at or beyond the last code.
    lowest, highest = (np.rint(bound / grid.scale.reshape(())) + zero for bound in (low, high))
    if lowest <= kind.min and highest >= kind.max:
        return ""
    return f"the {clip.op_type} behind it is computed: with zero point {zero} its {kind.dtype} grid goes beyond it"


def _clip_bounds(node: ir.Node) -> tuple[float, float]:
    bounds = [graph.array(node.inputs[i]) if len(node.inputs) > i else None for i in (1, 2)]
    low, high = (None if bound is None else float(bound.reshape(())) for bound in bounds)
    return -math.inf if low is None else low, math.inf if high is None else high


_BOUNDS: dict[str, Callable[[ir.Node], tuple[float, float]]] = {
    "Relu": lambda node: (0.0, math.inf),
    "Clip": _clip_bounds,
}


def _is_quantized_after(node: ir.Node) -> bool:
    users = [user for output in node.outputs for user in output.consumers()]
    if len(users) == 1 and users[0].op_type in _CLIPS:
        users = list(users[0].outputs[0].consumers())
    return bool(users) and all(user.op_type == "QuantizeLinear" for user in users)


@dataclass(frozen=True)
class Coverage:
    """All Conv, Gemm and MatMul in integer kernels, save those the engine left float for a stated reason."""

    name: str = "integer coverage"

    def run(self, artifact: Artifact) -> Outcome:
        found = products(artifact)
        written = {str(node.name): node for node in artifact.model.graph}
        left = [each for each in found if not each.integer]
        wrong = [each for each in left if each.name not in written or not decided(written[each.name], artifact)]
        evidence = f"{len(found) - len(left)} of {len(found)} products run in integer kernels"
        if not found:
            return Outcome(False, "onnxruntime runs no product of matrices at all in this file")
        return Outcome(not wrong, evidence, tuple(f"{each.op} {each.name} ({each.reason})" for each in left))
