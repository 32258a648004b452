"""From a torch module to an ONNX graph, with named inputs and free axes."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from edgeft.exporting import translate
from edgeft.quant.capture import Logits, dynamic_shapes
from edgeft.tasks.task import TensorSpec


def trace(
    model: nn.Module,
    inputs: Sequence[TensorSpec],
    output: TensorSpec,
    example: Mapping[str, Tensor],
    opset: int,
    order: Sequence[int] | None = None,
) -> ir.Model:
    """The ONNX graph of `model` in eval mode, with the names and free axes of `inputs` and `output`.

    model    a transformers model, or a module that takes named tensors and returns logits
    example  tensors by input name; every free axis at least 2 long, so that no length is baked in
    opset    the graph is made for it, not converted to it
    order    columns of the model's logits in the order of the labels; None when they are in order already
    """
    answers = Logits(model, order).eval()
    tensors = {spec.name: example[spec.name] for spec in inputs}
    free = {"tensors": dynamic_shapes(inputs)}
    with torch.no_grad(), _quiet():
        program = torch.export.export(answers, (), tensors, dynamic_shapes=free, strict=False)
        # Checks of input sizes, which ONNX has no place for; torch 2.14 cannot decompose those of named tensors.
        program._guards_code = []
        written = torch.onnx.export(
            program,
            (),
            None,
            dynamo=True,
            external_data=False,
            opset_version=opset,
            input_names=[spec.name for spec in inputs],
            output_names=[output.name],
            custom_translation_table=translate.table(),
            verbose=False,
        )
    assert written is not None
    graph = written.model
    _name_axes(graph, inputs, output)
    return graph


def _name_axes(model: ir.Model, inputs: Sequence[TensorSpec], output: TensorSpec) -> None:
    """Free axes get the names of the manifest instead of the exporter's symbols."""
    for value, spec in zip([*model.graph.inputs, *model.graph.outputs], [*inputs, output], strict=True):
        value.shape = ir.Shape(spec.shape)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's notices are about its own internals; errors still come as exceptions."""
    logger: Any = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
