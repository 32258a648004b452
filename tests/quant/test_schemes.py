"""Where each narrow scheme puts quantizers in a small BERT: two layers of six linear layers and one attention, a
pooler and a classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import fx, nn

from edgeft.quant.blocks import BlockQuantizer
from edgeft.quant.data import DataQuantizer
from edgeft.quant.engine import QuantModel, build, calibrate
from edgeft.quant.operators import ATTENTION, name_of
from edgeft.quant.quantizer import BiasQuantizer, Quantizer
from edgeft.quant.store import load_state, save_state
from edgeft.scheme import INT4, SCHEMES, U8S8_DYNAMIC, U8S8_INT4, Scheme
from edgeft.tasks.task import TensorSpec
from tests.quant.models import model_and_batch

NARROW = [INT4, U8S8_INT4, U8S8_DYNAMIC]


def built(scheme: Scheme, name: str = "bert") -> tuple[QuantModel, dict[str, torch.Tensor]]:
    model, inputs, batch = model_and_batch(name)
    quantized = build(model, inputs, batch, scheme)
    calibrate(quantized, [batch])
    return quantized, batch


def linear_layers(quantized: QuantModel) -> list[fx.Node]:
    return [node for node in quantized.graph.graph.nodes if name_of(node) == "linear"]


def reads(quantized: QuantModel, node: fx.Node, index: int) -> nn.Module | None:
    operand = node.args[index]
    called = isinstance(operand, fx.Node) and operand.op == "call_module"
    return quantized.graph.get_submodule(operand.target) if called else None  # type: ignore[union-attr, arg-type]


def test_int4_puts_linear_layers_in_blocks_and_leaves_the_rest() -> None:
    quantized, _ = built(INT4)
    layers = linear_layers(quantized)
    weights = [reads(quantized, node, 1) for node in layers]
    assert all(isinstance(weight, BlockQuantizer) for weight in weights)
    assert [weight.grid.bits for weight in weights] == [4] * 13 + [8]  # type: ignore[union-attr]
    data = [reads(quantized, node, 0) for node in layers]
    assert all(isinstance(each, DataQuantizer) and each.in_kernel for each in data)
    # query, key and value read one tensor, so 4 of a layer's 6, and two more
    assert len({id(each) for each in data}) == 2 * 4 + 2
    assert [name for name, _ in quantized.float_nodes] == [
        node.name for node in quantized.graph.graph.nodes if name_of(node) == ATTENTION
    ]
    others = [q for _, q in quantized.quantizers() if not isinstance(q, BlockQuantizer)]
    assert [q.grid for q in others] == [INT4.table] * 3
    assert not any(isinstance(module, BiasQuantizer) for module in quantized.graph.modules())


def test_mixed_has_4_bits_where_data_may_stay_float_and_8_elsewhere() -> None:
    quantized, _ = built(U8S8_INT4)
    weights = [reads(quantized, node, 1) for node in linear_layers(quantized)]
    bits = [weight.grid.bits for weight in weights]  # type: ignore[union-attr]
    # query, key, value, the projection of what attention answers in float, and the two of the feed-forward;
    # the pooler reads a slice of what lies on a grid, and the classifier is the last
    assert bits == [4, 4, 4, 4, 4, 4] * 2 + [8, 8]
    eight = [node for node, width in zip(linear_layers(quantized), bits, strict=True) if width == 8]
    assert all(isinstance(reads(quantized, node, 2), BiasQuantizer) for node in eight)
    # nothing else reads what gelu writes, so it is on no grid of its own
    gelu = [node for node in quantized.graph.graph.nodes if name_of(node) == "gelu"]
    assert all(isinstance(reads_it(quantized, node), DataQuantizer) for node in gelu)
    attention = [node for node in quantized.graph.graph.nodes if name_of(node) == ATTENTION]
    assert len(attention) == 2 and all(name_of(part) == "linear" for node in attention for part in node.args[:3])


def reads_it(quantized: QuantModel, node: fx.Node) -> nn.Module:
    (user,) = node.users
    return quantized.graph.get_submodule(str(user.target))


def test_dynamic_has_no_calibrated_range_but_those_of_weights_and_tables() -> None:
    quantized, _ = built(U8S8_DYNAMIC)
    layers = linear_layers(quantized)
    assert all(type(reads(quantized, node, 1)) is Quantizer for node in layers)
    data = [reads(quantized, node, 0) for node in layers]
    assert all(isinstance(each, DataQuantizer) and each.rows and not each.in_kernel for each in data)
    # 14 weights, 3 tables
    assert len(list(quantized.quantizers())) == 17


@pytest.mark.parametrize("scheme", NARROW, ids=lambda scheme: scheme.name)
def test_everything_learns(scheme: Scheme) -> None:
    quantized, batch = built(scheme)
    quantized(**batch).square().sum().backward()
    assert [name for name, p in quantized.named_parameters() if p.requires_grad and p.grad is None] == []
    scales = quantized.scale_parameters()
    before = [scale.clone() for scale in scales]
    torch.optim.SGD(scales, lr=1e-3).step()
    quantized.clamp()
    assert not all(torch.equal(a, b) for a, b in zip(before, scales, strict=True))
    quantized.freeze_ranges()
    assert quantized.scale_parameters() == []


@pytest.mark.parametrize("scheme", NARROW, ids=lambda scheme: scheme.name)
def test_the_numbers_come_back_from_disk(scheme: Scheme, tmp_path: Path) -> None:
    quantized, batch = built(scheme)
    save_state(quantized, tmp_path, "trained")
    model, inputs, _ = model_and_batch("bert")
    again = build(model, inputs, batch, scheme)
    load_state(again, tmp_path, "trained")
    with torch.no_grad():
        assert torch.equal(again(**batch), quantized(**batch))


def test_without_kernel_rounding_a_graph_computes_as_its_file_is_written() -> None:
    quantized, batch = built(INT4)
    with torch.no_grad():
        rounded = quantized(**batch)
        quantized.leave_kernel_rounding()
        written = quantized(**batch)
        quantized.set_mode("train")
        assert torch.equal(quantized(**batch), rounded) and not torch.equal(written, rounded)
        assert torch.allclose(written, rounded, atol=0.05 * float(rounded.abs().max()))


class Embedded(nn.Module):
    """A table straight into a linear layer, and one whose inputs are no multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.wide, self.odd = nn.Embedding(50, 32), nn.Linear(32, 40), nn.Linear(40, 32)
        self.last = nn.Linear(32, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.odd(torch.tanh(self.wide(self.table(ids))))).mean(1))


def test_what_cannot_be_in_blocks_stays_float_and_says_why() -> None:
    inputs = (TensorSpec("ids", "int64", ("batch", "length")),)
    batch = {"ids": torch.randint(0, 50, (2, 7))}
    quantized = build(Embedded().eval(), inputs, batch, INT4)
    assert [reason for _, reason in quantized.float_nodes] == [
        "its 32 inputs are no multiple of the block, or come from a table",
        "its 40 inputs are no multiple of the block, or come from a table",
    ]
    assert len([q for _, q in quantized.quantizers() if isinstance(q, BlockQuantizer)]) == 1


def test_every_scheme_is_named_as_it_is_called() -> None:
    for name in SCHEMES.names():
        scheme: Scheme = SCHEMES.load(name)
        assert scheme.name == name
    # what trains the same numbers trains them alike
    kinds = {SCHEMES.load(name).trained_as for name in SCHEMES.names()}
    assert len(kinds) == len(SCHEMES.names()) - 1  # u8s8 and s8s8
