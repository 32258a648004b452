"""The models of a bundle: how each one is made from a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import nn

from edgeft.exporting import gates, passes, predict
from edgeft.exporting.again import Again
from edgeft.exporting.ceilings import Versions
from edgeft.exporting.gates import Gate
from edgeft.exporting.reordered import Reordered
from edgeft.exporting.samples import Trial, torch_answers
from edgeft.exporting.sources import Sources
from edgeft.exporting.trace import trace
from edgeft.quant.engine import QuantModel
from edgeft.scheme import Scheme
from edgeft.tasks.task import TensorSpec

INTEGER = ("int8-ptq", "int8")


@dataclass(frozen=True)
class Made:
    """A graph ready to be written, and what it must be.

    expected         logits [n, labels] of the torch model it was made from, on the trial samples
    predicted_bytes  size of its numbers
    float_nodes      name -> why the engine left it float
    changes          places each pass changed
    reordered        the same logits with every sum in another order; None for a float model
    kept             layers that stay float by choice: name -> why
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
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Maker:
    """Makes variants from the models of one run.

    trained_scheme  grids the run was trained for, stored_scheme those of the target
    trained         name of the state the variant int8 is made of
    int8_title      what the variant int8 is
    again           how the calibrated model is made when the run's own does not serve; None when it does
    """

    sources: Sources
    trial: Trial
    output: TensorSpec
    versions: Versions
    original_title: str
    trained_scheme: Scheme | None = None
    stored_scheme: Scheme | None = None
    trained: str = "trained"
    int8_title: str = "trained quantization-aware"
    again: Again | None = None

    def make(self, name: str) -> Made:
        makers: dict[str, Callable[[], Made]] = {
            "original": lambda: self._float(self.sources.original(), self.original_title),
            "float32": lambda: self._float(
                self.sources.float_graph(), "the fine-tuned model in float, BatchNorm folded"
            ),
            "int8-ptq": lambda: self._integer(self.calibrated(), self._ptq_title()),
            "int8": lambda: self._integer(self._trained(), self.int8_title),
        }
        return makers[name]()

    def calibrated(self) -> QuantModel:
        """The model of int8-ptq, in train mode."""
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
        return f"calibrated {'again ' if self.again is not None else ''}on training samples, not trained"

    def _float(self, model: nn.Module, title: str) -> Made:
        expected = torch_answers(model, self.trial)
        graph = self._trace(model)
        changes = passes.run(graph, passes.float_pipeline(self.versions.opset, self.versions.ir_version))
        return Made(
            graph, title, "float32", expected, predict.float_bytes(model), gates.float_gates(), changes=changes
        )

    def _integer(self, model: QuantModel, title: str) -> Made:
        assert self.stored_scheme is not None
        expected = torch_answers(model, self.trial)
        reordered = torch_answers(Reordered(model), self.trial)
        predicted = predict.integer_bytes(model)
        model.set_mode("export")
        graph = self._trace(model)
        pipeline = passes.integer_pipeline(self.stored_scheme, self.versions.opset, self.versions.ir_version)
        changes = passes.run(graph, pipeline)
        left = dict(model.float_nodes)
        judged = gates.integer_gates(pipeline, self.stored_scheme)
        kept = {**model.kept, **model.raised}
        return Made(graph, title, self.stored_scheme.name, expected, predicted, judged, left, changes, reordered, kept)

    def _trace(self, model: nn.Module) -> ir.Model:
        return trace(model, self.sources.inputs, self.output, self.sources.example, self.versions.opset)
