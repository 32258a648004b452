"""A written file and what is known about it, for the gates: each figure is computed once, when first asked for."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass

from edgeft.exporting import sessions
from edgeft.tasks.task import TensorSpec


@dataclass
class Artifact:
    """One variant's file.

    inputs, output   as the manifest declares them
    batches          encoded held-out samples by input name; `ids` names each row
    expected         logits [n, labels] of the torch model on the same samples
    as_written       the same as the file says it, where the runtime's kernels round more than that; else None
    reordered        the same with every sum in another order: how near the model is to itself; None for a float model
    predicted_bytes  size of the file's numbers by their dtypes; None when nothing predicts it
    float_nodes      products that stay float by decision: name -> reason
    options          session configuration of the target's profile
    """

    variant: str
    path: Path
    inputs: Sequence[TensorSpec]
    output: TensorSpec
    batches: Sequence[sessions.Batch]
    ids: Sequence[str]
    expected: NDArray[np.float32]
    predicted_bytes: int | None = None
    float_nodes: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    reordered: NDArray[np.float32] | None = None
    as_written: NDArray[np.float32] | None = None

    @property
    def written(self) -> NDArray[np.float32]:
        """What the file must answer with every node run as written."""
        return self.expected if self.as_written is None else self.as_written

    @cached_property
    def model(self) -> ir.Model:
        """The graph as written, with the shapes that can be inferred (some contracts speak of ranks)."""
        model = ir.load(self.path)
        # Where inference stops (microsoft/onnxruntime#10484) the ranks stay unknown, and nothing else depends on it.
        with contextlib.suppress(Exception):
            ShapeInferencePass(strict_mode=False)(model)
        return model

    @cached_property
    def plain_session(self) -> ort.InferenceSession:
        return sessions.open_session(self.path, optimized=False)

    @cached_property
    def session(self) -> ort.InferenceSession:
        """As the target runs it."""
        return sessions.open_session(self.path, optimized=True, options=self.options)

    @cached_property
    def plain(self) -> NDArray[np.float32]:
        """Logits [n, labels] with onnxruntime's optimizer off: every node as written."""
        return sessions.answers(self.plain_session, self.batches)

    @cached_property
    def optimized(self) -> NDArray[np.float32]:
        """Logits [n, labels] as the target computes them."""
        return sessions.answers(self.session, self.batches)

    @cached_property
    def optimized_model(self) -> ir.Model:
        """The graph onnxruntime really runs. Its weights are not kept."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "optimized.onnx"
            sessions.open_session(self.path, optimized=True, options=self.options, save_to=file)
            return ir.load(file)
