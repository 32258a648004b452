"""Attention as one operator: what it computes, and which layers become one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from benchmarks.zoo import MEMBERS
from edgeft.quant import engine
from edgeft.quant.attention import attention
from edgeft.quant.operators import ATTENTION, name_of
from edgeft.quant.quantizer import Quantizer
from edgeft.scheme import S8S8_SYMMETRIC, U8S8
from edgeft.tasks.task import TensorSpec
from tests.quant.models import model_and_batch


def test_one_head_by_hand():
    # scores 0 and ln 3: a quarter of the first value and three quarters of the second
    query, key = torch.tensor([[[1.0], [1.0]]]), torch.tensor([[[0.0], [math.log(3)]]])
    value = torch.tensor([[[4.0], [8.0]]])
    found = attention(query, key, value, None, 1, 1.0)
    torch.testing.assert_close(found, torch.full((1, 2, 1), 0.25 * 4 + 0.75 * 8))


def test_padding_is_not_attended_to():
    query, value = torch.randn(2, 4, 6), torch.randn(2, 4, 6)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    whole = attention(query, query, value, mask, 2, 0.5)
    short = attention(query[1:, :2].contiguous(), query[1:, :2].contiguous(), value[1:, :2].contiguous(), None, 2, 0.5)
    torch.testing.assert_close(whole[1:, :2], short)
    torch.testing.assert_close(whole[:1], attention(query[:1], query[:1], value[:1], None, 2, 0.5))


@pytest.mark.parametrize("masked", [True, False])
def test_gradients_are_those_of_differences(masked):
    torch.manual_seed(0)
    parts = [torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]]) if masked else None
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, mask, 2, 0.7), parts)


def test_only_what_learns_gets_a_gradient():
    query, key, value = torch.randn(1, 3, 4), torch.randn(1, 3, 4, requires_grad=True), torch.randn(1, 3, 4)
    attention(query, key, value, None, 2, 1.0).sum().backward()
    assert key.grad is not None and query.grad is None and value.grad is None


def attentions(built: engine.QuantModel) -> list:
    return [node for node in built.graph.graph.nodes if name_of(node) == ATTENTION]


@pytest.mark.parametrize(
    "name, layers, masked",
    [("bert", 2, True), ("distilbert", 2, True), ("vit", 2, False), ("vit-hf", 2, False), ("whisper", 2, False),
     ("mpnet", 0, False), ("deberta", 0, False), ("swin-hf", 0, False)],
)  # fmt: skip
def test_which_families_have_it_and_that_it_computes_the_same(name, layers, masked):
    example = MEMBERS[name].make()
    first = {key: tensor[:2] for key, tensor in example.batches[0].items()}
    plain, built = (
        engine.float_graph(example.model, example.inputs, first),
        engine.build(example.model, example.inputs, first, U8S8),
    )
    found = attentions(built)
    assert len(found) == layers and all((node.args[3] is not None) is masked for node in found)
    left = [node for node in built.graph.graph.nodes if name_of(node) == "softmax.int"]
    assert not (layers and left)
    built.set_mode("float")
    with torch.no_grad():
        for batch in example.batches:
            torch.testing.assert_close(built(**batch), plain(**batch), rtol=1e-4, atol=1e-5)


def test_nothing_inside_lies_on_a_grid_and_what_comes_out_does():
    model, inputs, batch = model_and_batch("bert")
    built = engine.build(model, inputs, batch, U8S8)
    for node in attentions(built):
        assert [name_of(part) for part in node.args[:3]] == ["linear"] * 3
        (reader,) = node.users
        assert isinstance(built.graph.get_submodule(str(reader.target)), Quantizer)
    assert [name for name, _ in built.float_nodes] == ["attention", "attention_1"]


def test_targets_that_compute_in_integers_alone_keep_its_parts():
    model, inputs, batch = model_and_batch("bert")
    assert attentions(engine.build(model, inputs, batch, S8S8_SYMMETRIC)) == []


class OneLayer(nn.Module):
    """One attention layer whose scores get `bias(mask)`; its linear layer of keys has no bias."""

    def __init__(self, bias) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)
        self.classifier = nn.Linear(8, 3)
        self.bias = bias

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.embedding(input_ids)
        n, length = input_ids.shape
        q, k, v = (part(x).view(n, length, 2, 4).transpose(1, 2) for part in (self.query, self.key, self.value))
        scores = torch.matmul(q, k.transpose(2, 3)) / 2 + self.bias(attention_mask)
        answer = torch.matmul(torch.softmax(scores, -1), v).transpose(1, 2).reshape(n, length, 8)
        return self.classifier(answer.mean(1))


def padding(mask: Tensor) -> Tensor:
    return (1.0 - mask[:, None, None].float()) * torch.finfo(torch.float32).min


def causal(mask: Tensor) -> Tensor:
    length = mask.shape[1]
    later = torch.arange(length)[None] > torch.arange(length)[:, None]
    return padding(mask) + later * -1e9


def nearness(mask: Tensor) -> Tensor:
    place = torch.arange(mask.shape[1])
    return padding(mask) - (place[None] - place[:, None]).abs().float()


@pytest.mark.parametrize("bias, fused", [(padding, True), (causal, False), (nearness, False)])
def test_only_a_bias_that_hides_padding_and_nothing_else_is_a_mask(bias, fused):
    torch.manual_seed(0)
    model = OneLayer(bias).eval()
    inputs = tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in ("input_ids", "attention_mask"))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    batch = {"input_ids": torch.randint(1, 20, (2, 5)), "attention_mask": mask}
    built = engine.build(model, inputs, batch, U8S8)
    assert len(attentions(built)) == fused
    built.set_mode("float")
    with torch.no_grad():
        torch.testing.assert_close(built(**batch), model(**batch), rtol=1e-4, atol=1e-5)
