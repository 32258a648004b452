"""For GPU targets: weights and computation in float16, inputs and outputs in float32.

What float16 cannot hold stays float32, between two casts: operators that saw larger values on samples, operators with
a constant too small for it, and those whose float type is part of what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from edgeft.exporting import graph

HALF, FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT
# Takes the place of constants beyond float16, which masks hold: exp(-10000) is 0 as exp(-3.4e38) is, and a few of them
# may be added up (the largest float16 is 65504).
MASKED = 1e4
_LARGEST = 65504.0
# Smallest normal float16: an epsilon below it loses its digits, and below 6e-8 becomes 0.
_SMALLEST = 6.104e-5
# Their result has the float type of an attribute, or an input must be float32 whatever the data is.
_FIXED_TYPE = frozenset({"Range", "ConstantOfShape", "EyeLike", "RandomNormalLike", "Resize", "Bernoulli", "Constant"})


@dataclass(frozen=True)
class FitConstants:
    """Constants beyond float16 become +-10000."""

    name: str = "fit constants"
    contract: str = "no float constant is beyond float16"

    def apply(self, model: ir.Model) -> int:
        found = self._beyond(model)
        for value in found:
            content = graph.array(value)
            assert content is not None and value.name is not None
            fitted = np.where(np.abs(content) > _LARGEST, np.sign(content) * MASKED, content).astype(content.dtype)
            value.const_value = ir.tensor(fitted, name=value.name)
        return len(found)

    def broken(self, model: ir.Model) -> list[str]:
        return [str(value.name) for value in self._beyond(model)]

    @staticmethod
    def _beyond(model: ir.Model) -> list[ir.Value]:
        floats = [value for value in model.graph.initializers.values() if _type(value) in (FLOAT, HALF)]
        contents = [(value, graph.array(value)) for value in floats]
        return [value for value, content in contents if content is not None and (np.abs(content) > _LARGEST).any()]


def stays_float(model: ir.Model, largest: Mapping[str, float]) -> dict[str, str]:
    """Name -> reason of every operator that cannot compute in float16.

    largest   largest magnitude seen in each float tensor, by name; infinite where a value was not finite
    """
    return {str(node.name): why for node in model.graph if (why := _reason(node, largest))}


def _reason(node: ir.Node, largest: Mapping[str, float]) -> str:
    floats = [value for value in (*node.inputs, *node.outputs) if _type(value) is FLOAT]
    if node.op_type in _FIXED_TYPE and floats:
        return f"{node.op_type} has a float type of its own"
    seen = max((largest.get(str(value.name), 0.0) for value in floats if value is not None), default=0.0)
    # Half of what fits: other samples may hold larger values than those seen.
    if seen > _LARGEST / 2:
        return f"values up to {seen:.3g} were seen, and float16 ends at 65504"
    for value in floats:
        if value is not None and value.const_value is not None and value.const_value.size == 1:
            constant = float(value.const_value.numpy().reshape(()))
            if 0 < abs(constant) < _SMALLEST:
                return f"its constant {constant:.3g} is too small for float16"
    return ""


def _type(value: ir.Value | None) -> ir.DataType | None:
    if value is None:
        return None
    return value.const_value.dtype if value.const_value is not None else value.dtype


@dataclass(frozen=True)
class ToHalf:
    """Every float operator but those `kept` computes in float16; casts stand where the two meet.

    kept   name of an operator -> why it stays float32
    """

    kept: Mapping[str, str] = field(default_factory=dict)
    name: str = "float16"
    contract: str = "no operator reads float16 and float32 at once, nor a weight in float32 without a reason"

    def apply(self, model: ir.Model) -> int:
        ShapeInferencePass(strict_mode=True)(model)
        work = _Halving(model)
        done = 0
        for node in graph.nodes(model):
            values = [value for value in (*node.inputs, *node.outputs) if _type(value) is FLOAT]
            if values and str(node.name) not in self.kept:
                work.halve(node)
                done += 1
            elif values:
                work.keep(node)
        work.answer_in_float()
        return done

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in model.graph if self._mixes(node) or self._reads_float_weight(node)]

    @staticmethod
    def _mixes(node: ir.Node) -> bool:
        return {FLOAT, HALF} <= {_type(value) for value in node.inputs}

    def _reads_float_weight(self, node: ir.Node) -> bool:
        weight = node.inputs[1] if node.op_type in graph.PRODUCTS else None
        return _type(weight) is FLOAT and graph.array(weight) is not None and str(node.name) not in self.kept


class _Halving:
    """One graph on its way to float16; nodes are given in graph order, so that what they read is settled."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._as: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}

    def halve(self, node: ir.Node) -> None:
        if node.op_type != "Cast":
            self._read(node, HALF)
        elif node.attributes["to"].as_int() == FLOAT:
            node.attributes["to"] = ir.AttrInt64("to", int(HALF))
        for value in node.outputs:
            if _type(value) is FLOAT:
                value.type = ir.TensorType(HALF)

    def keep(self, node: ir.Node) -> None:
        self._read(node, FLOAT)

    def _read(self, node: ir.Node, wanted: ir.DataType) -> None:
        for index, value in enumerate(node.inputs):
            if value is not None and _type(value) in (FLOAT, HALF) and _type(value) is not wanted:
                node.replace_input_with(index, self._converted(node, value, wanted))

    def _converted(self, place: ir.Node, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        if (value, wanted) not in self._as:
            name = f"{value.name}_{wanted.name.lower()}"
            if value.is_initializer() and value.const_value is not None:
                new = graph.initializer(self._model, name, value.const_value.numpy().astype(wanted.numpy()))
            else:
                new = graph.before(self._model, place, "Cast", [value], name, to=int(wanted))
                new.type, new.shape = ir.TensorType(wanted), value.shape
            self._as[value, wanted] = new
        return self._as[value, wanted]

    def answer_in_float(self) -> None:
        """Outputs keep name and type."""
        for index, value in enumerate(self._model.graph.outputs):
            if _type(value) is not HALF:
                continue
            cast = ir.node("Cast", [value], {"to": int(FLOAT)}, name=f"node_{value.name}_float")
            new, name = cast.outputs[0], value.name
            value.name = f"{name}_float16"
            new.name, new.shape, new.type = name, value.shape, ir.TensorType(FLOAT)
            self._model.graph.append(cast)
            self._model.graph.outputs[index] = new
