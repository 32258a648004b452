"""A model that cannot be captured: the line of its code, what is wrong there, and what to do."""

import inspect

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeft.errors import ModelError
from edgeft.quant.engine import build
from edgeft.scheme import U8S8
from tests.quant.small import Of, inputs_of

X = torch.randn(3, 4)


def refused(model: nn.Module, capfd) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelError) as caught:
        build(model, inputs_of(X), {"x": X}, U8S8)
    assert "\n" not in str(caught.value) and "--scheme none" in str(caught.value)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""  # the error is all a person sees
    return str(caught.value)


def _branch(model: nn.Module, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x * 2
    return x


def _loop(model: nn.Module, x: Tensor) -> Tensor:
    for _ in range(int(x.abs().sum().item())):
        x = x + 1
    return x


def _numpy(model: nn.Module, x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(x.detach().numpy()))


def _baked(model: nn.Module, x: Tensor) -> Tensor:
    return x.reshape(3, 2, 2).mean(1)


def _each_row(model: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([x[row : row + 1] * 2 for row in range(x.shape[0])])


def _wrong(model: nn.Module, x: Tensor) -> Tensor:
    return x @ torch.ones(5, 2)


def line_of(function, code: str) -> str:  # type: ignore[no-untyped-def]
    lines, first = inspect.getsourcelines(function)
    return str(first + next(i for i, line in enumerate(lines) if code in line))


@pytest.mark.parametrize(
    "function, code, what, hint",
    [
        (_branch, "if x.sum() > 0:", "control flow depends on the values of a tensor", "torch.where"),
        (_loop, "for _ in range", "control flow depends on the values of a tensor", "torch.where"),
        (_numpy, "np.tanh", "the code leaves torch (numpy)", "torch function"),
        (_baked, "x.reshape(3, 2, 2)", "a free size is fixed by the code: batch of x is always 3", "-1"),
        (_each_row, "for row in range(x.shape[0])", "batch of x is always 3", "loop over no free size"),
        (_wrong, "x @ torch.ones(5, 2)", "[s", "run the model with exactly x in plain Python"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_line_the_fault_and_the_way_out(function, code, what, hint, capfd) -> None:  # type: ignore[no-untyped-def]
    said = refused(Of(function), capfd)
    assert said.startswith("Of cannot be captured as a graph at ")
    assert f"test_why.py:{line_of(function, code)} in {function.__name__}" in said
    assert code in said and what in said and hint in said


def test_an_input_the_device_does_not_feed(capfd) -> None:  # type: ignore[no-untyped-def]
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    said = refused(Two(), capfd)
    assert "missing 1 required positional argument: 'y'" in said and "called with exactly x" in said


def test_an_operator_without_an_integer_form_is_listed_and_the_rest_is_quantized() -> None:
    parts = {"first": nn.Linear(4, 4), "second": nn.Linear(4, 2)}
    quantized = build(Of(lambda m, x: m.second(torch.sin(m.first(x))), **parts), inputs_of(X), {"x": X}, U8S8)
    assert quantized.float_nodes == [("sin", "no integer form of sin is known")]
    assert quantized.completed == ["sin -> linear_1"]
