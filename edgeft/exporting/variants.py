"""The models of a bundle: how each one is made from a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeft.exporting import gates, passes, predict
from edgeft.exporting.again import Again
from edgeft.exporting.ceilings import Versions
from edgeft.exporting.gates import Gate
from edgeft.exporting.magnitudes import largest_values
from edgeft.exporting.passes.half import FitConstants, stays_float
from edgeft.exporting.passes.merge import MergeConstants
from edgeft.exporting.reordered import Reordered
from edgeft.exporting.samples import Trial, torch_answers
from edgeft.exporting.sources import Sources
from edgeft.exporting.trace import trace
from edgeft.quant.engine import QuantModel
from edgeft.scheme import Scheme
from edgeft.tasks.task import TensorSpec

# Files of quantized models; which two a run has its scheme says (Scheme.variant).
INTEGER = ("int8-ptq", "int8", "int4-ptq", "int4")
FLOAT32, FLOAT16 = "float32", "float16"
# Samples on which the largest values inside a model are looked for.
_LOOKED_AT = 32


@dataclass(frozen=True)
class Made:
    """A graph ready to be written, and what it must be.

    expected         logits [n, labels] of the torch model it was made from, on the trial samples
    predicted_bytes  size of its numbers
    float_nodes      name -> why the engine left it float
    changes          places each pass changed
    reordered        the same logits with every sum in another order; None for a float model
    kept             layers that stay float by choice: name -> why
    as_written       the same logits without what only the runtime's kernels round; None when they round no more
    """

    graph: ir.Model
    title: str
    scheme: str
    expected: NDArray[np.float32]
    predicted_bytes: int
    gates: Sequence[Gate]
    float_nodes: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)
    reordered: NDArray[np.float32] | None = None
    as_written: NDArray[np.float32] | None = None
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Maker:
    """Makes variants from the models of one run.

    inputs, output  of the files; example: tensors they are traced with
    trained_scheme  grids the run was trained for, stored_scheme those of the target
    trained         name of the state the trained variant is made of
    trained_title   what that variant is
    again           how the calibrated model is made when the run's own does not serve; None when it does
    """

    sources: Sources
    trial: Trial
    inputs: Sequence[TensorSpec]
    output: TensorSpec
    example: Mapping[str, Tensor]
    versions: Versions
    original_title: str
    trained_scheme: Scheme | None = None
    stored_scheme: Scheme | None = None
    trained: str = "trained"
    trained_title: str = "trained quantization-aware"
    again: Again | None = None

    def make(self, name: str) -> Made:
        makers: dict[str, Callable[[], Made]] = {
            "original": lambda: self._float(self.sources.original(), self.original_title),
            FLOAT32: lambda: self._float(self.sources.float_graph(), "the fine-tuned model in float, BatchNorm folded"),
            FLOAT16: lambda: self._half(self.sources.float_graph(), "the same in float16 where that holds its numbers"),
        }
        for integer in INTEGER:
            makers[integer] = self._calibrated_variant if integer.endswith("-ptq") else self._trained_variant
        return makers[name]()

    def _calibrated_variant(self) -> Made:
        return self._integer(self.calibrated(), self._ptq_title())

    def _trained_variant(self) -> Made:
        return self._integer(self._trained(), self.trained_title)

    def calibrated(self) -> QuantModel:
        """The model of the calibrated variant, in train mode."""
        assert self.trained_scheme is not None and self.stored_scheme is not None
        if self.again is None:
            return self.sources.quantized("calibrated", self.trained_scheme)
        model = self.sources.unranged(self.stored_scheme)
        self.again.calibrate(model)
        return model

    def _trained(self) -> QuantModel:
        assert self.trained_scheme is not None
        if self.trained != "trained":
            return self.calibrated()
        return self.sources.quantized(self.trained, self.trained_scheme)

    def _ptq_title(self) -> str:
        if self.stored_scheme is not None and self.stored_scheme.quantizes == "linear":
            return "weights rounded, not trained"
        return f"calibrated {'again ' if self.again is not None else ''}on training samples, not trained"

    def _float(self, model: nn.Module, title: str) -> Made:
        expected = torch_answers(model, self.trial)
        graph = self._trace(model)
        changes = passes.run(graph, passes.float_pipeline(self.versions.opset, self.versions.ir_version))
        return Made(graph, title, FLOAT32, expected, predict.float_bytes(model), gates.float_gates(), changes=changes)

    def _half(self, model: nn.Module, title: str) -> Made:
        expected = torch_answers(model, self.trial)
        graph = self._trace(model)
        passes.run(graph, (MergeConstants(), FitConstants()))
        kept = stays_float(graph, largest_values(graph, self.trial.rows(_LOOKED_AT)))
        pipeline = passes.half_pipeline(self.versions.opset, self.versions.ir_version, kept)
        predicted = predict.half_bytes(model) + predict.kept_bytes(graph, kept)
        changes = passes.run(graph, pipeline)
        return Made(graph, title, FLOAT16, expected, predicted, gates.half_gates(pipeline), kept, changes)

    def _integer(self, model: QuantModel, title: str) -> Made:
        assert self.stored_scheme is not None
        expected = torch_answers(model, self.trial)
        reordered = torch_answers(Reordered(model), self.trial)
        as_written = self._as_written(model) if self.stored_scheme.rounds_in_kernel else None
        predicted = predict.integer_bytes(model)
        model.set_mode("export")
        graph = self._trace(model)
        pipeline = passes.integer_pipeline(self.stored_scheme, self.versions.opset, self.versions.ir_version)
        changes = passes.run(graph, pipeline)
        left = dict(model.float_nodes)
        judged = gates.integer_gates(pipeline, self.stored_scheme)
        kept = {**model.kept, **model.raised}
        name = self.stored_scheme.name
        return Made(graph, title, name, expected, predicted, judged, left, changes, reordered, as_written, kept)

    def _as_written(self, model: QuantModel) -> NDArray[np.float32]:
        model.leave_kernel_rounding()
        return torch_answers(model, self.trial)

    def _trace(self, model: nn.Module) -> ir.Model:
        return trace(model, self.inputs, self.output, self.example, self.versions.opset)
