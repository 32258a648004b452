"""Where quantizers stand on graphs of a few operators, and where they must not."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeft.quant.engine import QuantModel, build, calibrate
from edgeft.quant.operators import name_of
from edgeft.quant.quantizer import Quantizer, SameGrid
from edgeft.scheme import U8S8, U8U8, Scheme
from tests.quant.small import Of, inputs_of

LOWEST = torch.finfo(torch.float32).min
SCORES = torch.randn(2, 3, 4, 4)


def built(function, x: Tensor, scheme: Scheme = U8S8, **parts: nn.Module | Tensor) -> QuantModel:  # type: ignore[no-untyped-def]
    quantized = build(Of(function, **parts), inputs_of(x), {"x": x}, scheme)
    calibrate(quantized, [{"x": x}])
    return quantized


def behind(quantized: QuantModel, name: str) -> list[nn.Module | None]:
    """For each call of an operator the module that stands behind it; None where there is none."""
    found: list[nn.Module | None] = []
    for node in quantized.graph.graph.nodes:
        if name_of(node) == name:
            modules = [quantized.graph.get_submodule(user.target) for user in node.users if user.op == "call_module"]
            found.append(modules[0] if modules else None)
    return found


def largest_scale(quantized: QuantModel) -> float:
    return max(q.scale.max().item() for _, q in quantized.quantizers())


# --- masks ---


def mask_of(x: Tensor) -> Tensor:
    """One that is computed at run time from sizes alone."""
    allowed = torch.arange(4)[:, None] >= torch.arange(4)[None]
    return torch.where(allowed.expand(x.shape[0], 1, 4, 4), torch.zeros(()), LOWEST)


BIAS = nn.Parameter(torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize(
    "masked",
    [
        lambda m, x: x + mask_of(x),
        lambda m, x: x.masked_fill(mask_of(x) < 0, LOWEST),
        lambda m, x: (x + mask_of(x)) + m.bias,  # a bias after the mask
        lambda m, x: x + (m.bias + mask_of(x)),  # bias and mask put together first (Swin)
        lambda m, x: (x.reshape(-1, 1, 3, 4, 4) + mask_of(x)[:, None]).reshape(-1, 3, 4, 4),  # shifted windows
    ],
    ids=["sum", "fill", "then a bias", "with a bias", "through views"],
)
def test_scores_stay_float_from_their_mask_to_the_softmax(masked) -> None:  # type: ignore[no-untyped-def]
    quantized = built(lambda m, x: masked(m, x).softmax(-1) @ m.bias, SCORES, bias=BIAS)
    assert largest_scale(quantized) < 1  # one code for -3.4e38 would leave none for the scores
    (after,) = behind(quantized, "softmax.int")
    assert isinstance(after, Quantizer) and after.scale.item() == 1 / 256


def test_a_bias_alone_is_summed_in_integers() -> None:
    quantized = built(lambda m, x: (x + m.bias).softmax(-1), SCORES, bias=BIAS)
    (after,) = behind(quantized, "add.Tensor")
    assert isinstance(after, Quantizer)
    assert len(list(quantized.quantizers())) == 3  # scores, bias, sum; no product reads what softmax answers


def test_a_mask_of_zeros_and_ones_is_multiplied_in_integers_where_all_is_integer() -> None:
    ids = torch.tensor([[1, 2, 0], [3, 0, 0]])
    quantized = built(lambda m, x: m.table(x) * (x != 0).float().unsqueeze(-1), ids, U8U8, table=nn.Embedding(9, 4))
    factors = [q for name, q in quantized.quantizers() if "input1" in name]
    assert len(factors) == 1 and factors[0].scale.item() == pytest.approx(1 / 255)


# --- moves ---


def test_parts_on_one_grid_stay_on_it() -> None:
    quantized = built(lambda m, x: torch.roll(x, 1, 1), torch.randn(2, 6, 4))
    assert len(list(quantized.quantizers())) == 1  # that of the input
    assert all(isinstance(module, SameGrid) for module in behind(quantized, "cat"))


def test_parts_on_two_grids_get_a_third() -> None:
    quantized = built(lambda m, x: torch.cat([x, torch.tanh(x)], 1), torch.randn(2, 4))
    assert [type(module) for module in behind(quantized, "cat")] == [Quantizer]


def test_zeros_around_a_convolution_are_bare_and_elsewhere_a_move() -> None:
    image = torch.randn(2, 3, 6, 6)
    quantized = built(lambda m, x: m.part(F.pad(x, (0, 1, 0, 1))), image, part=nn.Conv2d(3, 4, 3, stride=2))
    assert behind(quantized, "pad") == [None]
    quantized = built(lambda m, x: m.part(F.pad(x, (0, 1))), torch.randn(2, 3), part=nn.Linear(4, 2))
    assert [type(module) for module in behind(quantized, "pad")] == [SameGrid]


def test_other_padding() -> None:
    image = torch.randn(2, 3, 6, 6)
    most = built(lambda m, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2), image)
    assert behind(most, "pad") == [None] and [type(m) for m in behind(most, "max_pool2d")] == [SameGrid]
    ones = built(lambda m, x: F.pad(x, (0, 1), value=5.0) * x.sum(-1, keepdim=True), image)
    (after,) = behind(ones, "pad")
    assert isinstance(after, Quantizer) and after.zero_point.item() + round(5 / after.scale.item()) <= 255


def test_a_stored_operand_has_a_grid_over_all_of_it_whatever_the_method() -> None:
    token = nn.Parameter(torch.tensor([[[-1.0, 0.0, 0.0, 9.0]]]))
    x = torch.randn(2, 3, 4)
    model = Of(lambda m, x: torch.cat([m.token.expand(x.shape[0], -1, -1), x], 1), token=token)
    quantized = build(model, inputs_of(x), {"x": x}, U8S8)
    calibrate(quantized, [{"x": x}], "percentile")
    ((name, stored),) = ((name, q) for name, q in quantized.quantizers() if name.startswith("expand"))
    assert stored.scale.item() == pytest.approx(10 / 255)
    assert [type(module) for module in behind(quantized, "expand")] == [SameGrid]  # integers are expanded
    assert quantized.completed == []  # nothing was forgotten: a constant is no data


def test_a_cast_that_changes_nothing_hides_no_padding_from_its_convolution():
    """transformers' TimmWrapper sends its input to the device and type of the model before the stem pads it."""
    weight = nn.Parameter(torch.randn(4, 3, 3, 3))

    def stem(self: nn.Module, x: Tensor) -> Tensor:
        x = x.to(self.weight.device, self.weight.dtype)  # type: ignore[union-attr, arg-type]
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, stride=2).relu().mean((2, 3))  # type: ignore[arg-type]

    quantized = built(stem, torch.randn(2, 3, 8, 8), weight=weight)
    called = [name_of(node) for node in quantized.graph.graph.nodes if node.op == "call_function"]
    assert called[:2] == ["pad", "conv2d"]
    assert not [name for name, _ in quantized.quantizers() if "input" in name]
