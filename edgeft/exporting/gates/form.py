"""Gates on the form of a file: the contracts of the passes, read from the file, and what no file may hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

import onnx_ir as ir

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome
from edgeft.exporting.passes.biases import is_float_on_grid, is_on_grid, open_bias
from edgeft.exporting.passes.step import Pass


@dataclass(frozen=True)
class Contracts:
    """What every pass promises holds in the file."""

    passes: Sequence[Pass]
    name: str = "form"

    def run(self, artifact: Artifact) -> Outcome:
        broken = [(step.contract, place) for step in self.passes for place in step.broken(artifact.model)]
        if broken:
            return Outcome(False, "broken", tuple(f"{contract}: {place}" for contract, place in broken))
        return Outcome(True, f"{len(self.passes)} contracts hold")


@dataclass(frozen=True)
class Biases:
    """Every bias of an integer product is int32 on the grid s_x * s_w within 1e-6, and none is clipped. A kernel that
    adds its bias in float has it on the same grid, as it was trained."""

    name: str = "bias grids"

    def run(self, artifact: Artifact) -> Outcome:
        biased = [node for node in graph.nodes(artifact.model, *graph.PRODUCTS) if open_bias(node) is not None]
        kernels = [node for node in graph.nodes(artifact.model, *graph.KERNELS) if _adds_bias(node)]
        wrong = tuple(graph.title(node) for node in biased if not is_on_grid(node))
        wrong += tuple(graph.title(node) for node in kernels if not is_float_on_grid(node))
        n = len(biased) + len(kernels)
        evidence = f"{n - len(wrong)} of {n} biases are multiples of s_x * s_w that fit int32"
        return Outcome(not wrong, f"{evidence}, {len(biased)} of them stored as such", wrong)


def _adds_bias(node: ir.Node) -> bool:
    return len(node.inputs) > graph.KERNELS[node.op_type].bias


@dataclass(frozen=True)
class Inference:
    """No dropout and no batch normalization in training mode was written (pytorch#103681)."""

    name: str = "inference only"

    def run(self, artifact: Artifact) -> Outcome:
        wrong = [graph.title(node) for node in graph.nodes(artifact.model) if _is_training(node)]
        return Outcome(not wrong, f"{len(wrong) or 'no'} operators in training mode", tuple(wrong))


def _is_training(node: ir.Node) -> bool:
    flag = node.attributes.get("training_mode")
    by_input = node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2] is not None
    return (flag is not None and flag.as_int() == 1) or by_input


@dataclass(frozen=True)
class DataInside:
    """Data in other files stays inside the bundle: a location may be a plain file name only."""

    name: str = "data inside"

    def run(self, artifact: Artifact) -> Outcome:
        places = tuple(f"{name} at {location}" for name, location in external(artifact.model))
        wrong = tuple(place for place in places if not _is_plain(place.partition(" at ")[2]))
        inside = f"{len(places)} tensors in a second file" if places else "one file"
        evidence = "data outside the bundle" if wrong else inside
        return Outcome(not wrong, evidence, wrong)


def external(model: ir.Model) -> Iterator[tuple[str, str]]:
    """(initializer, location) of every tensor that is stored in another file."""
    for name, value in model.graph.initializers.items():
        if isinstance(value.const_value, ir.ExternalTensor):
            yield str(name), str(value.const_value.location)


def _is_plain(location: str) -> bool:
    return PurePosixPath(location).name == location and PureWindowsPath(location).name == location and location != ".."
