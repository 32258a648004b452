"""The layers of a quantized graph: what a person can name, and which of its quantizers belong to each.

A layer is one operator that computes, with the clip that follows it. Two kinds of quantizers stand around it: those
of its own parameters, and those of the tensors it reads and makes. A tensor has one quantizer, which its maker and
its readers share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import fx

from edgeft.errors import UsageError, did_you_mean
from edgeft.quant.engine import QuantModel
from edgeft.quant.insert import NEEDS_QUANTIZED_INPUTS, constant_factor
from edgeft.quant.operators import (
    BINARY,
    CLIP,
    INTEGER_OUTPUT,
    LIST,
    MATMUL,
    OWN,
    RESCALE,
    THROUGH,
    VIEW,
    WEIGHTED,
    name_of,
)
from edgeft.quant.quantizer import BiasQuantizer, Quantizer, SameGrid

_OPERATORS = WEIGHTED | MATMUL | BINARY | OWN | CLIP
_MOVES = VIEW | LIST | THROUGH


@dataclass(frozen=True)
class Layer:
    """A layer by the names it answers to.

    name    of its node in the captured graph, as "linear_3"
    kind    of operator, as "linear", "conv2d" or "softmax"
    module  path in the model, as "bert.encoder.layer.0.attention.self.query"; "" when capture did not keep it
    """

    name: str
    kind: str
    module: str

    def answers_to(self, pattern: str) -> bool:
        """Is `pattern` its kind, its name, its module or one that holds it, or a glob pattern of one of these?"""
        names = (self.kind, self.name, self.module)
        return any(fnmatchcase(name, pattern) for name in names) or self.module.startswith(f"{pattern}.")


@dataclass(frozen=True)
class Edge:
    """A tensor on a grid: its quantizer, the layer that makes it (None for an input) and the layers that read it."""

    quantizer: str
    maker: str | None
    readers: frozenset[str]


class Wiring:
    """Which quantizers stand around which layer of `model`; a picture of the graph as it is now.

    layers  in graph order
    owned   layer name -> quantizers of its parameters
    edges   every tensor with a quantizer
    """

    def __init__(self, model: QuantModel) -> None:
        assert model.scheme is not None
        self._graph, self._scheme = model.graph, model.scheme
        self._nodes = {node.name: node for node in model.graph.graph.nodes}
        self.owned = {node.name: self._parameters_of(node) for node in self._nodes.values() if _operator(node)}
        self.edges = tuple(self._edges())
        touched = {name for edge in self.edges for name in (edge.maker, *edge.readers)}
        self.layers = tuple(
            Layer(node.name, kind_of(node), module_of(node))
            for node in self._nodes.values()
            if self.owned.get(node.name) or (node.name in touched and node.name not in model.kept)
        )

    def around(self, layer: str) -> set[str]:
        """All that quantizing this layer alone means: the grids of what it reads, holds and makes."""
        beside = {edge.quantizer for edge in self.edges if layer == edge.maker or layer in edge.readers}
        return beside | self.owned[layer]

    def off(self, kept: Iterable[str]) -> set[str]:
        """The quantizers that go when the layers named in `kept` compute in float.

        Those of their parameters go. That of a tensor they make, or that nobody but they read, goes unless an integer
        kernel next to it needs it: one that reads it, or one that can only write integers.
        """
        kept = set(kept)
        owned = {name for layer in kept for name in self.owned[layer]}
        return owned | {edge.quantizer for edge in self.edges if self._goes(edge, kept)}

    def _goes(self, edge: Edge, kept: set[str]) -> bool:
        if edge.maker not in kept and not (edge.readers and edge.readers <= kept):
            return False
        read = any(name_of(self._nodes[reader]) in NEEDS_QUANTIZED_INPUTS for reader in edge.readers - kept)
        return not read and (edge.maker is None or edge.maker in kept or not self._writes_integers(edge.maker))

    def _writes_integers(self, layer: str) -> bool:
        """Has the layer an integer kernel only when what it writes is quantized?"""
        if self._scheme.quantizes != "outputs" or not self._scheme.float_answers:
            return self._scheme.quantizes == "outputs"
        name = name_of(self._nodes[layer])
        # A sum of tensors on grids is an integer one; other sums are float ones that a product reads.
        return name in INTEGER_OUTPUT or (name in BINARY and any(layer in edge.readers for edge in self.edges))

    def readers(self, node: fx.Node) -> set[str]:
        """The layers that compute with a tensor, looked for through what only moves or rescales it."""
        found = set()
        for user in node.users:
            if name_of(user) in _MOVES or isinstance(self._module(user), SameGrid) or self._rescales(user):
                found |= self.readers(user)
            elif _operator(user) and not self._is_float_sum(user):
                found.add(_head(user).name)
        return found

    # --- reading the graph ---

    def _module(self, node: fx.Node) -> Any:
        return self._graph.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _parameters_of(self, node: fx.Node) -> set[str]:
        """Quantizers of a layer's weight, table and bias."""
        found = set()
        for index, operand in enumerate(node.args[:3]):
            module = self._module(operand) if isinstance(operand, fx.Node) else None
            if isinstance(module, BiasQuantizer) or (isinstance(module, Quantizer) and _parameter(node, index)):
                found.add(str(operand.target))  # type: ignore[union-attr]
        return found

    def _edges(self) -> Iterator[Edge]:
        parameters = {name for names in self.owned.values() for name in names}
        for node in self._nodes.values():
            if isinstance(self._module(node), Quantizer) and str(node.target) not in parameters:
                yield Edge(str(node.target), self._maker(node.args[0]), frozenset(self.readers(node)))

    def _maker(self, node: Any) -> str | None:
        while isinstance(node, fx.Node) and (name_of(node) in _MOVES or self._rescales(node)):
            node = node.args[0]
        return _head(node).name if isinstance(node, fx.Node) and _operator(node) else None

    def _rescales(self, node: fx.Node) -> bool:
        return name_of(node) in RESCALE and constant_factor(node) is not None and not self._is_quantized(node)

    def _is_float_sum(self, node: fx.Node) -> bool:
        """Where integer kernels write onto grids, a sum that does not is a float one: of a mask, or of floats."""
        return self._scheme.quantizes == "outputs" and name_of(node) in BINARY and not self._is_quantized(node)

    def _is_quantized(self, node: fx.Node) -> bool:
        users = list(node.users)
        if len(users) == 1 and name_of(users[0]) in CLIP:
            users = list(users[0].users)
        return any(isinstance(self._module(user), Quantizer) for user in users)


def _operator(node: fx.Node) -> bool:
    return name_of(node) in _OPERATORS


def _parameter(node: fx.Node, index: int) -> bool:
    """Does this operand hold what the layer has learned: the weight of a product, the table of an embedding?"""
    return (name_of(node) in WEIGHTED and index == 1) or (name_of(node) == "embedding" and index == 0)


def _head(node: fx.Node) -> fx.Node:
    """The product or sum whose clip this is, else the node itself: the two are one layer."""
    source = node.args[0]
    if name_of(node) in CLIP and isinstance(source, fx.Node) and len(source.users) == 1:
        return source if name_of(source) in WEIGHTED | BINARY else node
    return node


def kind_of(node: fx.Node) -> str:
    """The operator as people call it: "softmax" of "softmax.int", "conv1d" of "conv1d.padding"."""
    return name_of(node).removeprefix("edgeft.").partition(".")[0]


def module_of(node: fx.Node) -> str:
    """Path of the module that called the operator, as torch.export noted it; "" where it did not."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(entry[0]) for entry in stack.values()]
    return paths[-1].removeprefix("model.") if paths and paths[-1].startswith("model.") else ""


def choose(layers: Sequence[Layer], patterns: Sequence[str], option: str) -> dict[str, str]:
    """Layer name -> the pattern that chose it, in graph order.

    option   what the person typed, as "--keep-float"
    Raises UsageError for a pattern that no layer answers to.
    """
    for pattern in patterns:
        if not any(layer.answers_to(pattern) for layer in layers):
            known = {name for layer in layers for name in (layer.kind, layer.name, layer.module) if name}
            kinds = ", ".join(sorted({layer.kind for layer in layers}))
            hint = did_you_mean(pattern, known)
            raise UsageError(
                f"{option} {pattern}: this model has no such layer",
                hint if hint.startswith("did") else f"name one of its kinds ({kinds}), a module or a glob pattern",
            )
    chosen: dict[str, str] = {}
    for layer in layers:
        for pattern in patterns:
            if layer.answers_to(pattern):
                chosen.setdefault(layer.name, pattern)
    return chosen
