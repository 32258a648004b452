"""Small questions and edits on an onnx_ir graph that passes and gates share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]

# Operators that compute a product of matrices in the graph the exporter writes.
PRODUCTS = ("Conv", "Gemm", "MatMul")
# Kernels of onnxruntime that have no standard operator: their domain, and the one of a linear layer, whose inputs are
# data, weight, scale of the data, scales of the weight, zero points of both, bias.
MICROSOFT = "com.microsoft"
LINEAR_KERNEL = "MatMulIntegerToFloat"
ATTENTION_KERNEL = "MultiHeadAttention"
PACKED_ATTENTION = "QAttention"


@dataclass(frozen=True)
class Places:
    """Where an integer kernel that a file itself holds has its inputs, beside the data, which come first."""

    weight: int
    data_scale: int
    weight_scale: int
    data_zero: int
    weight_zero: int
    bias: int


KERNELS = {LINEAR_KERNEL: Places(1, 2, 3, 4, 5, 6), PACKED_ATTENTION: Places(1, 3, 4, 6, 7, 2)}
_NEVER_CONSTANT = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
INTEGERS = (
    ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT32,
)  # fmt: skip


def nodes(model: ir.Model, *op_types: str) -> list[ir.Node]:
    """The nodes of these types, in graph order; a list, so that the graph may be changed while walking it."""
    return [node for node in model.graph if not op_types or node.op_type in op_types]


def title(node: ir.Node) -> str:
    """What to call a node in a message."""
    return f"{node.op_type} {node.name or node.outputs[0].name}"


def array(value: ir.Value | None) -> Array | None:
    """Content of an initializer, or of a value computed from initializers alone; None for anything else."""
    if value is None:
        return None
    if value.is_initializer():
        return None if value.const_value is None else value.const_value.numpy()
    producer = value.producer()
    if producer is None or value.is_graph_input() or producer.op_type in _NEVER_CONSTANT:
        return None
    inputs = []
    for given in producer.inputs:
        inputs.append(array(given))
        # Not one input further: each would be followed to the beginning of the graph, and from there again.
        if inputs[-1] is None and given is not None:
            return None
    return _evaluate(producer, inputs)[producer.outputs.index(value)]


def _evaluate(node: ir.Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    named = {each.name or "": content for each, content in zip(node.inputs, inputs, strict=True) if each is not None}
    result = ReferenceEvaluator(ir.serde.serialize_node(node)).run(None, named)
    return [np.asarray(each) for each in result]


def initializer(model: ir.Model, name: str, content: Array) -> ir.Value:
    """A new initializer whose name begins with `name`."""
    free, count = name, 0
    taken = model.graph.initializers
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    # Not ascontiguousarray: that makes [1] of a rank-0 array.
    tensor = ir.tensor(np.array(content, order="C"), name=free)
    value = ir.val(free, const_value=tensor)
    model.graph.register_initializer(value)
    return value


def replace(model: ir.Model, old: ir.Value, new: ir.Value) -> None:
    """Every reader of `old`, the graph's outputs among them, reads `new`; an output keeps its name."""
    if old.is_graph_output():
        name = old.name
        new.shape, new.type = old.shape, old.type
        old.name = f"{name}_before"
        new.name = name
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def drop(model: ir.Model, node: ir.Node) -> None:
    """Remove a node nobody reads any more."""
    if not any(output.uses() or output.is_graph_output() for output in node.outputs):
        model.graph.remove(node, safe=True)


def before(model: ir.Model, place: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], name: str,
           domain: str = "", **attributes: Any) -> ir.Value:  # fmt: skip
    """Insert a node with one output in front of `place`; returns the output."""
    node = ir.node(op_type, inputs, attributes, domain=domain, name=f"node_{name}")
    node.outputs[0].name = name
    model.graph.insert_before(place, node)
    return node.outputs[0]


def axis_of(node: ir.Node) -> dict[str, Any]:
    """The axis attribute of a node, and its block size, as keyword arguments; empty when it has none."""
    return {name: node.attributes[name].as_int() for name in ("axis", "block_size") if name in node.attributes}


def plain_attributes(node: ir.Node) -> dict[str, Any]:
    """All attributes of a node as keyword arguments."""
    return {name: attribute.value for name, attribute in node.attributes.items()}


@dataclass(frozen=True)
class Grid:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear: arrays as stored, and the axis or None.

    block   so many values along the axis share a scale; 0 = the axis has one scale a value
    """

    scale: Array
    zero_point: Array
    axis: int | None
    block: int = 0


def grid(node: ir.Node) -> Grid | None:
    """None when scale or zero point are not constants of the file."""
    scale = array(node.inputs[1])
    if scale is None:
        return None
    zero = array(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(scale.shape, _stored_type(node))
    if zero is None:
        return None
    attributes = axis_of(node)
    block = attributes.get("block_size", 0)
    return Grid(scale, zero, None if scale.size == 1 and not block else attributes.get("axis", 1), block)


def _stored_type(node: ir.Node) -> np.dtype[Any]:
    """Type of the integers of a pair without a zero point."""
    given = node.attributes.get("output_dtype")
    if given is not None:
        return ir.DataType(given.as_int()).numpy()
    stored = array(node.inputs[0]) if node.op_type == "DequantizeLinear" else None
    return np.dtype(np.uint8) if stored is None else stored.dtype


def same_grid(one: Grid, other: Grid) -> bool:
    return (
        (one.axis, one.block) == (other.axis, other.block)
        and one.zero_point.dtype == other.zero_point.dtype
        and np.array_equal(one.scale.ravel(), other.scale.ravel())
        and np.array_equal(one.zero_point.ravel(), other.zero_point.ravel())
    )


def join(model: ir.Model, floats: ir.Value, source: ir.Node, codes: ir.Value) -> None:
    """Readers that put `floats` on the grid of the DequantizeLinear `source` again get the integers themselves."""
    of_source = grid(source)
    for user in list(floats.consumers()):
        of_user = grid(user) if user.op_type == "QuantizeLinear" else None
        if of_source is not None and of_user is not None and same_grid(of_source, of_user):
            replace(model, user.outputs[0], codes)
            drop(model, user)


def producer_of(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node of this type that makes `value`, if that is what makes it."""
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type == op_type else None


def dequantize_of(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that makes `value`, seen through a zero padding (which onnxruntime folds into a Conv)."""
    pad = producer_of(value, "Pad")
    return producer_of(pad.inputs[0] if pad is not None else value, "DequantizeLinear")


def stored_weight(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear of an integer initializer that makes `value`."""
    node = producer_of(value, "DequantizeLinear")
    return node if node is not None and node.inputs[0] is not None and node.inputs[0].is_initializer() else None


def bias_slot(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Where the bias of a product stands: (node, input index). None when it has none.

    Conv and Gemm: input 2. MatMul with a stored weight [K, N]: a constant [N] added to its only use.
    """
    if node.op_type in ("Conv", "Gemm"):
        return (node, 2) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    weight = stored_weight(node.inputs[1])
    users = node.outputs[0].consumers()
    if weight is None or len(users) != 1 or users[0].op_type != "Add":
        return None
    index = 1 - list(users[0].inputs).index(node.outputs[0])
    bias = users[0].inputs[index]
    content = bias_content(bias)
    assert weight.inputs[0] is not None and weight.inputs[0].shape is not None
    wide = weight.inputs[0].shape[-1]
    return (users[0], index) if content is not None and content.shape == (wide,) else None


def bias_content(value: ir.Value | None) -> Array | None:
    """A constant, float or stored as an integer behind a DequantizeLinear, as stored."""
    stored = stored_weight(value)
    return array(stored.inputs[0]) if stored is not None else array(value)


def product_scale(node: ir.Node) -> Array | None:
    """float32(s_x) * float32(s_w) of a product of a dequantized tensor and a stored weight; None for others, and for
    weights in blocks, whose sums have no one scale."""
    data, weight = dequantize_of(node.inputs[0]), stored_weight(node.inputs[1])
    if data is None or weight is None:
        return None
    of_data, of_weight = grid(data), grid(weight)
    if of_data is None or of_weight is None or of_data.scale.size != 1 or of_weight.block:
        return None
    return of_data.scale.astype(np.float32).reshape(()) * of_weight.scale.astype(np.float32)


def forget_types(model: ir.Model) -> None:
    """Drop what was once inferred about inner tensors: passes change it, and the file does not need it."""
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape, value.type = None, None


def quantized_pairs(model: ir.Model) -> Iterator[ir.Node]:
    """Every QuantizeLinear and DequantizeLinear."""
    yield from nodes(model, "QuantizeLinear", "DequantizeLinear")


# Their results have the type of their data whatever they compute; the data of Where is its second input.
_KEEP_TYPE = {
    **dict.fromkeys(
        "Add Sub Mul Div Neg Abs Sign Min Max Clip CumSum Range Gather GatherND GatherElements Reshape Transpose "
        "Unsqueeze Squeeze Slice Split Concat Expand Tile Identity Mod".split(),
        0,
    ),
    "Where": 1,
}
_COUNTING = ("Shape", "Size", "ArgMax", "ArgMin", "NonZero")
_WHOLE_TYPES = (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL)


def float_nodes(model: ir.Model) -> list[ir.Node]:
    """The nodes of an optimized graph but those that compute with whole numbers: positions, addresses, shapes.

    onnxruntime writes no types for the inner tensors of the graph it runs, so they are followed here.
    """
    whole = {value for value in model.graph.inputs if value.dtype is not None and not value.dtype.is_floating_point()}
    found = []
    for node in model.graph:
        place = _KEEP_TYPE.get(node.op_type)
        data = node.inputs[place] if place is not None and len(node.inputs) > place else None
        cast = node.attributes["to"].as_int() if node.op_type == "Cast" else None
        if node.op_type in _COUNTING or _is_whole(data, whole) or (cast is not None and cast in _WHOLE_TYPES):
            whole.update(node.outputs)
        else:
            found.append(node)
    return found


def _is_whole(value: ir.Value | None, whole: set[ir.Value]) -> bool:
    if value is None:
        return False
    return value in whole or (value.const_value is not None and not value.const_value.dtype.is_floating_point())
