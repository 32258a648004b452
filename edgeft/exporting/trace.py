"""From a torch module to an ONNX graph, with named inputs and free axes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir
import torch
from torch import Tensor, nn

from edgeft.errors import ModelError
from edgeft.exporting import translate
from edgeft.quant.capture import Logits, dynamic_shapes
from edgeft.quant.why import explain, watched
from edgeft.tasks.task import TensorSpec

_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


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
    Raises ModelError when the model cannot be captured, or holds an operator that ONNX has nothing for.
    """
    tensors = {spec.name: example[spec.name] for spec in inputs}
    answers, free = Logits(model, list(tensors), order).eval(), dynamic_shapes(inputs)
    with torch.no_grad(), watched() as fixed:
        try:
            program = torch.export.export(answers, (), tensors, dynamic_shapes=free, strict=False)
        except Exception as error:  # torch.export raises many kinds
            raise explain(model, inputs, error, fixed) from error
        # Checks of input sizes, which ONNX has no place for; torch 2.14 cannot decompose those of named tensors.
        program._guards_code = []
        try:
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
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(
                f"torch cannot write {type(model).__name__} as ONNX: {_unwritten(error)}",
                "use other operators there in the model",
            ) from error
    assert written is not None
    graph = written.model
    _name_axes(graph, inputs, output)
    return graph


def _name_axes(model: ir.Model, inputs: Sequence[TensorSpec], output: TensorSpec) -> None:
    """Free axes get the names of the manifest instead of the exporter's symbols."""
    for value, spec in zip([*model.graph.inputs, *model.graph.outputs], [*inputs, output], strict=True):
        value.shape = ir.Shape(spec.shape)


def _unwritten(error: BaseException) -> str:
    """The operator that stops torch, from the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    found = _OPERATOR.search(str(error))
    return f"ONNX has nothing for {found.group(1)}" if found else " ".join(str(error).split())[:300]
