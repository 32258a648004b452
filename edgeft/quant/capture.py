"""From a module to a flat graph of ATen calls, captured in eval mode with free dimensions."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from edgeft.quant.why import explain, watched
from edgeft.tasks.task import TensorSpec

_WITHOUT = "or use --scheme none to fine-tune without quantization"


class Logits(nn.Module):
    """Named tensors in, one tensor out: what graph capture and export need of a transformers model or any module.

    names   of the tensors: the parameters torch.export sees (torch 2.11 cannot take free dimensions of **tensors)
    order   when given, the output columns are put in this order (the label order of the bundle)
    """

    order: Tensor | None

    def __init__(self, model: nn.Module, names: Sequence[str], order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.__class__ = _taking(names)
        self.model = model
        keep = order is not None and list(order) != list(range(len(order)))
        self.register_buffer("order", torch.tensor(order) if keep else None, persistent=False)

    def forward(self, **tensors: Tensor) -> Tensor:
        out = self.model(**tensors)
        logits: Tensor = out if isinstance(out, Tensor) else out.logits
        return logits if self.order is None else logits.index_select(-1, self.order)


def _taking(names: Sequence[str]) -> type[Logits]:
    """Logits with a forward whose signature has these names."""

    def forward(self: Logits, *given: Tensor, **named: Tensor) -> Tensor:
        return Logits.forward(self, **dict(zip(names, given, strict=False)), **named)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in ("self", *names)])
    setattr(forward, "__signature__", signature)  # noqa: B010 - functions have no such attribute for mypy
    return type("Logits", (Logits,), {"forward": forward})


def dynamic_shapes(inputs: Sequence[TensorSpec]) -> dict[str, dict[int, Any]]:
    """torch.export's description of the free dimensions: those whose size is a name."""
    return {
        spec.name: {i: torch.export.Dim.DYNAMIC for i, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in inputs
    }


def prepare(model: nn.Module) -> nn.Module:
    """A copy of `model` in a form whose every product can be quantized: eval mode, attention as plain products,
    no weight parametrization. The model given is left alone."""
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        choose_attention = getattr(module, "set_attn_implementation", None)
        if callable(choose_attention):
            choose_attention("eager")
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", False)  # noqa: B010 - nn.Module's own attributes are typed as tensors
        if parametrize.is_parametrized(module):
            _bake_parametrizations(module)
    return model


def _bake_parametrizations(module: nn.Module) -> None:
    """Make plain parameters of parametrized ones (weight normalization).

    A copied module shares its class with the original, and torch takes the parametrized attribute off that class: the
    copy needs one of its own first.
    """
    shared = type(module)
    content = {name: value for name, value in vars(shared).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, content)
    for name in list(module.parametrizations):  # type: ignore[arg-type]
        parametrize.remove_parametrizations(module, name)
        value = getattr(module, name)
        if not isinstance(value, nn.Parameter):  # torch makes a buffer of a frozen one
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))


def capture(model: nn.Module, inputs: Sequence[TensorSpec], example: Mapping[str, Tensor]) -> fx.GraphModule:
    """The graph of `model` called with exactly `inputs`; parameters keep their names and requires_grad flags.

    example   one tensor an input; free dimensions must be at least 2, or capture would fix them
    Raises ModelError when the model cannot be captured, with the place in the model that stops it.
    """
    kwargs = {spec.name: example[spec.name] for spec in inputs}
    wrapped = Logits(model, list(kwargs))
    with watched() as fixed:
        try:
            with torch.no_grad():
                program = torch.export.export(wrapped, (), kwargs, dynamic_shapes=dynamic_shapes(inputs), strict=False)
        except Exception as error:  # torch.export raises many kinds
            raise explain(model, inputs, error, fixed, _WITHOUT) from error
    graph = program.module(check_guards=False)
    trainable = {name: parameter.requires_grad for name, parameter in wrapped.named_parameters()}
    for name, parameter in graph.named_parameters():
        parameter.requires_grad_(trainable.get(name, True))
    return drop_no_ops(plain_forms(graph))


def plain_forms(graph: fx.GraphModule) -> fx.GraphModule:
    """Replace in-place calls (relu_, add_) by their plain forms: they would overwrite what a quantizer keeps for its
    gradient. Who reads the overwritten tensor later reads the new one."""
    passed: set[fx.Node] = set()
    for node in graph.graph.nodes:
        passed.add(node)
        plain = _plain_form(node)
        if plain is not None:
            node.target = plain
            node.args[0].replace_all_uses_with(node, delete_user_cb=lambda user: user not in passed)
    graph.recompile()
    return graph


def _plain_form(node: fx.Node) -> Any:
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return None
    name = node.target._schema.name.removeprefix("aten::")
    if not name.endswith("_") or name.startswith("_"):
        return None
    return getattr(getattr(torch.ops.aten, name[:-1], None), node.target._overloadname, None)


# With the device among them: a graph that named the device of its capture would run on no other.
_CASTS = {
    "aten.to.dtype", "aten.to.device", "aten.to.other", "aten._to_copy.default", "aten.to.dtype_layout",
    "aten.type_as.default",
}  # fmt: skip
# What torch.export writes before a cast, so that a graph is not called with other types.
_ASSERTION = "aten._assert_tensor_metadata.default"


def _is_no_op(node: fx.Node) -> bool:
    if node.op != "call_function" or not node.args or not isinstance(node.args[0], fx.Node):
        return False
    name = str(node.target)
    if name in ("aten.dropout.default", "aten.dropout_.default", "aten.feature_dropout.default"):
        return not node.args[2]
    if name in ("aten.alias.default", "aten.detach.default", "aten.detach_.default", "aten.lift_fresh_copy.default"):
        return True
    if name in _CASTS:
        before, after = node.args[0].meta.get("val"), node.meta.get("val")
        return isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype
    return _changes_nothing(node, name)


def _changes_nothing(node: fx.Node, name: str) -> bool:
    """A sum with 0, a product with 1, a padding of no width: bookkeeping of the Python code."""
    if name in ("aten.pad.default", "aten.constant_pad_nd.default"):
        return all(width == 0 for width in node.args[1])  # type: ignore[union-attr]
    neutral = {"aten.add.Tensor": 0, "aten.mul.Tensor": 1, "aten.div.Tensor": 1}.get(name)
    before, after = node.args[0].meta.get("val"), node.meta.get("val")  # type: ignore[union-attr]
    same = isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype
    return same and neutral is not None and len(node.args) > 1 and node.args[1] == neutral


def drop_no_ops(graph: fx.GraphModule) -> fx.GraphModule:
    """Take out what eval mode leaves standing: dropout, aliases, casts to the same type, checks of types."""
    for node in list(graph.graph.nodes):
        if str(node.target) == _ASSERTION:
            graph.graph.erase_node(node)
        elif _is_no_op(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph
