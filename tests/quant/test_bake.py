"""What depends on no input is computed once."""

import torch
from torch import nn

from edgeft.quant.bake import bake_constants
from tests.quant.small import Of, calls, captured

X = torch.randn(3, 4, 4)


def test_a_table_read_by_a_fixed_index_is_one_parameter() -> None:
    index = torch.tensor([[0, 1, 2, 3], [4, 0, 1, 2], [5, 4, 0, 1], [6, 5, 4, 0]])
    table = nn.Parameter(torch.arange(7.0))
    graph = captured(Of(lambda m, x: x + m.table[m.index].unsqueeze(0), table=table, index=index), X)
    bake_constants(graph)
    assert calls(graph) == ["add.Tensor"]
    ((name, baked),) = graph.named_parameters()
    assert name.endswith("_baked") and baked.requires_grad
    assert baked[0].tolist() == [[0, 1, 2, 3], [4, 0, 1, 2], [5, 4, 0, 1], [6, 5, 4, 0]]
    assert torch.equal(graph(x=X), X + table[index])


def test_a_frozen_table_stays_frozen_and_a_constant_is_not_saved() -> None:
    frozen = nn.Parameter(torch.ones(4), requires_grad=False)
    graph = captured(Of(lambda m, x: x * (m.frozen * 3) + (m.fixed - 1), frozen=frozen, fixed=torch.ones(4)), X)
    bake_constants(graph)
    assert calls(graph) == ["mul.Tensor", "add.Tensor"]
    ((_, baked),) = graph.named_parameters()
    assert not baked.requires_grad and baked.tolist() == [3, 3, 3, 3]
    assert len(list(graph.buffers())) == 1 and len(graph.state_dict()) == 1


def test_what_depends_on_a_free_size_or_is_random_stays() -> None:
    token = nn.Parameter(torch.ones(1, 1, 4))
    graph = captured(Of(lambda m, x: torch.cat([m.token.expand(x.shape[0], -1, -1), x], 1), token=token), X)
    bake_constants(graph)
    assert "expand" in calls(graph)
    graph = captured(Of(lambda m, x: x + torch.rand(4)), X)
    bake_constants(graph)
    assert "rand" in calls(graph)


def test_what_would_take_much_room_stays_computed() -> None:
    row = nn.Parameter(torch.ones(4))
    graph = captured(Of(lambda m, x: (x[:, None] + m.row.expand(5_000_000, 4)).sum(1), row=row), torch.randn(3, 4))
    bake_constants(graph)
    assert "expand" in calls(graph)
    assert sum(p.numel() for p in graph.parameters()) == 4


def test_a_constant_of_rank_0_is_a_number() -> None:
    graph = captured(Of(lambda m, x: x / torch.sqrt(torch.tensor(16.0))), X)
    bake_constants(graph)
    (node,) = (n for n in graph.graph.nodes if n.op == "call_function")
    assert node.args[1] == 4.0
    assert list(graph.buffers()) == []


def test_a_trained_scale_of_rank_0_stays_a_parameter() -> None:
    graph = captured(Of(lambda m, x: x * m.scale, scale=nn.Parameter(torch.tensor(2.0))), X)
    bake_constants(graph)
    assert [p.item() for p in graph.parameters()] == [2.0]
