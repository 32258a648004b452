"""From torch to ONNX: what torch cannot write is named."""

import pytest
import torch

from edgeft.errors import ModelError
from edgeft.exporting.trace import trace
from edgeft.tasks.task import TensorSpec
from tests.quant.small import Of, inputs_of

X = torch.randn(3, 4)
OUTPUT = TensorSpec("logits", "float32", ("batch", 4))


def _refused(function) -> str:
    with pytest.raises(ModelError) as caught:
        trace(Of(function), inputs_of(X), OUTPUT, {"x": X}, 20)
    return str(caught.value)


def test_an_operator_that_onnx_has_not_is_named(capfd):
    said = _refused(lambda model, x: torch.special.bessel_j0(x))
    assert said.startswith("torch cannot write Of as ONNX: ONNX has nothing for ")
    assert "bessel_j0; use other operators" in said
    assert capfd.readouterr() == ("", "")


def test_a_model_that_cannot_be_captured_names_its_line():
    said = _refused(lambda model, x: x.reshape(3, 2, 2).mean(1))
    assert "test_trace.py" in said and "batch of x is always 3" in said and "--scheme" not in said
