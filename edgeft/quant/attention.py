"""Scores, softmax and weighted sum of an attention layer as one operator, where the target has one kernel for them.

At the lengths devices see (tens of tokens) the time of a transformer on a CPU goes to the number of its operators, not
to its sums: attention in integers is a dozen conversions and moves a layer around two products that cost nothing.
onnxruntime's MultiHeadAttention (com.microsoft) takes what the linear layers answer, splits the heads itself and hides
padding, all in float; its QAttention takes in the integer linear layers too. So it is trained: nothing between the
linear layers lies on a grid (docs/decisions/011).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from edgeft.quant.insert import constant_factor
from edgeft.quant.masks import padding_mask
from edgeft.quant.nodes import add_parameter, call_before, cleaned, is_float, rank
from edgeft.quant.operators import ATTENTION, CAST, MATMUL, RESCALE, THROUGH, name_of

aten = torch.ops.aten
_PLAIN = THROUGH | CAST
WHY_FLOAT = "scores and weighted sums of attention, in float inside one kernel: a dozen integer ones take longer"


# What onnxruntime adds to the score of a masked key: in float32 nothing is left of it after the softmax.
MASKED = -10000.0


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    bias = None if mask is None else (mask == 0).to(query.dtype)[:, None, None] * MASKED
    q, k, v = (_heads(each, heads) for each in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale).transpose(1, 2).flatten(2)


@torch.library.custom_op("edgeft::attention", mutates_args=())
def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    """softmax(query key^T * scale) value, head by head: float [n, length, features].

    query, key, value  float [n, length, features], the heads' features side by side
    mask               int64 [n, length], 0 for keys that are padding; None when there is no padding
    """
    return _attend(query, key, value, mask, heads, scale).contiguous()


@attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    return query.new_empty((*query.shape[:2], value.shape[2]))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.heads, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Computes the answer again instead of keeping the scores of every layer."""
    with torch.enable_grad():
        again = [None if t is None else t.detach().requires_grad_(t.is_floating_point()) for t in ctx.saved_tensors]
        query, key, value, mask = again
        assert query is not None and key is not None and value is not None
        answer = _attend(query, key, value, mask, ctx.heads, ctx.scale)
        wanted = [t for t, needed in zip(again, ctx.needs_input_grad, strict=False) if t is not None and needed]
        found = iter(torch.autograd.grad(answer, wanted, gradient) if wanted else ())
    given = zip(again, ctx.needs_input_grad, strict=False)
    return *(next(found) if t is not None and needed else None for t, needed in given), None, None


attention.register_autograd(_backward, setup_context=_keep)


@dataclass(frozen=True)
class _Scores:
    """first second^T * scale + bias: what a softmax is taken of."""

    product: fx.Node
    scale: float = 1.0
    bias: fx.Node | None = None


def fuse_attention(graph: fx.GraphModule) -> list[str]:
    """Write every attention layer of the plain form as one operator; returns the names of these.

    Anything else stays as it is: scores to which more is added than a padding mask (positions of MPNet and Swin), or
    that depend on content in another way too (DeBERTa).
    """
    masks: dict[fx.Node, fx.Node | None] = {}  # most layers share one bias
    for node in list(graph.graph.nodes):
        if name_of(node) == "softmax.int" and node.args[1] in (-1, rank(node) - 1):
            _fuse(graph, node, masks)
    cleaned(graph)
    return [node.name for node in graph.graph.nodes if name_of(node) == ATTENTION]


def _fuse(graph: fx.GraphModule, softmax: fx.Node, masks: dict[fx.Node, fx.Node | None]) -> None:
    """masks   the padding mask that each bias seen so far is, which is added to"""
    scores, product = _scores(softmax.args[0]), _only_reader(softmax)
    if scores is None or product is None or name_of(product) not in MATMUL or _bare(product.args[0]) is not softmax:
        return
    turned = _bare(scores.product.args[1])
    if name_of(turned) != "transpose.int" or {axis % 4 for axis in turned.args[1:]} != {2, 3}:
        return
    split = (scores.product.args[0], turned.args[0], product.args[1])
    answer, parts = _joined(product), [_split(each) for each in split]
    query, key, value = parts
    if answer is None or query is None or key is None or value is None or value.factor != 1.0:
        return
    heads = split[0].meta["val"].shape[1]
    if not all(_fits(each, heads) for each in split):
        return
    if scores.bias is not None and scores.bias not in masks:
        masks[scores.bias] = padding_mask(graph, scores.bias)
    mask = None if scores.bias is None else masks[scores.bias]
    if scores.bias is not None and mask is None:
        return
    whole = [each.write(graph, answer) for each in (query, key, value)]
    factor = scores.scale * query.factor * key.factor
    new = call_before(graph, answer, torch.ops.edgeft.attention.default, *whole, mask, int(heads), factor)
    new._rename("attention")  # what the exporter calls it too
    answer.replace_all_uses_with(new)
    for assertion in [user for user in softmax.users if _asserts(user)]:
        graph.graph.erase_node(assertion)


def _fits(node: Any, heads: int) -> bool:
    sizes = node.meta["val"].shape
    return len(sizes) == 4 and sizes[1] == heads and isinstance(sizes[3], int)


def _bare(node: Any) -> Any:
    """What stands here once casts to the same type, copies and dropout are looked through."""
    while isinstance(node, fx.Node) and name_of(node) in _PLAIN and is_float(node):
        node = node.args[0]
    return node


def _only_reader(node: fx.Node) -> fx.Node | None:
    """The one node that reads this tensor; assertions about its type do not count."""
    readers = [user for user in node.users if not _asserts(user)]
    if len(readers) != 1:
        return None
    return _only_reader(readers[0]) if name_of(readers[0]) in _PLAIN else readers[0]


def _asserts(node: fx.Node) -> bool:
    return name_of(node).startswith("_assert")


def _factor(node: fx.Node) -> float | None:
    """The positive constant a node multiplies by; None for any other node."""
    return constant_factor(node) if name_of(node) in RESCALE else None


def _scores(node: Any) -> _Scores | None:
    """What a softmax is of, as product, scale and biases; None when it is anything else."""
    node = _bare(node)
    if not isinstance(node, fx.Node):
        return None
    if name_of(node) in MATMUL:
        return _Scores(node) if rank(node) == 4 else None
    factor = _factor(node)
    if factor is not None:
        found = _scores(node.args[0])
        return None if found is None or found.bias is not None else replace(found, scale=found.scale * factor)
    if name_of(node) != "add.Tensor":
        return None
    for one, other in (node.args[:2], node.args[1::-1]):
        found = _scores(one)
        if found is not None:
            added = isinstance(other, fx.Node) and found.bias is None
            return replace(found, bias=other) if added else None  # type: ignore[arg-type]
    return None


@dataclass(frozen=True)
class _Split:
    """Heads [n, heads, length, size] taken from `whole` [n, length, features], its features from `first` on, times
    `factor`."""

    whole: fx.Node
    first: int
    features: int
    factor: float

    def write(self, graph: fx.GraphModule, place: fx.Node) -> fx.Node:
        """The features of `whole`; a linear layer that makes them without a bias gets one of zeros, as kernels want."""
        whole = self.whole
        if name_of(whole) == "linear" and (len(whole.args) < 3 or whole.args[2] is None):
            zeros = torch.zeros(whole.meta["val"].shape[2])
            whole.args = (*whole.args[:2], add_parameter(graph, f"{whole.name}_zero_bias", zeros, False, whole))
        if self.whole.meta["val"].shape[2] == self.features:
            return self.whole
        return call_before(graph, place, aten.slice.Tensor, self.whole, 2, self.first, self.first + self.features)


def _split(node: Any) -> _Split | None:
    """[n, length, heads x size] -> [n, heads, length, size], or one of three such parts of a packed layer."""
    node, factor = _bare(node), 1.0
    while isinstance(node, fx.Node) and _factor(node) is not None:
        factor *= _factor(node) or 1.0
        node = _bare(node.args[0])
    if not isinstance(node, fx.Node):
        return None
    if name_of(node) == "getitem":
        return _part(node, factor)
    if not _swaps_heads(node):
        return None
    heads = _bare(node.args[0])
    whole = heads.args[0] if name_of(heads) in ("view", "reshape", "unflatten.int") else None
    if not isinstance(whole, fx.Node) or rank(whole) != 3 or rank(heads) != 4:
        return None
    sizes, features = heads.meta["val"].shape, whole.meta["val"].shape[2]
    if sizes[:2] != whole.meta["val"].shape[:2] or not isinstance(features, int):
        return None
    return _Split(whole, 0, features, factor)


def _swaps_heads(node: fx.Node) -> bool:
    """Does it exchange the axes of heads and length, of four?"""
    if name_of(node) == "transpose.int":
        return {axis % 4 for axis in node.args[1:]} == {1, 2}  # type: ignore[operator]
    return name_of(node) == "permute" and list(node.args[1]) == [0, 2, 1, 3]  # type: ignore[call-overload]


def _part(node: fx.Node, factor: float) -> _Split | None:
    """One of (query, key, value) of a packed layer: [n, length, 3 x heads x size] -> [3, n, heads, length, size]."""
    parts = node.args[0]
    turned = parts.args[0] if isinstance(parts, fx.Node) and name_of(parts) == "unbind.int" else None
    if turned is None or name_of(turned) != "permute" or list(turned.args[1]) != [2, 0, 3, 1, 4]:
        return None
    if len(parts.args) > 1 and parts.args[1] != 0:  # type: ignore[union-attr]
        return None
    split = _bare(turned.args[0])
    whole = split.args[0] if name_of(split) in ("view", "reshape") else None
    if not isinstance(whole, fx.Node) or rank(whole) != 3:
        return None
    sizes = split.meta["val"].shape
    features = sizes[3] * sizes[4]
    if sizes[:2] != whole.meta["val"].shape[:2] or not isinstance(features, int):
        return None
    return _Split(whole, int(node.args[1]) * features, features, factor)  # type: ignore[call-overload]


def _joined(product: fx.Node) -> fx.Node | None:
    """The node that puts the heads of `product` side by side again: [n, length, heads x size]."""
    turned = _only_reader(product)
    if turned is None or not _swaps_heads(turned):
        return None
    joined = _only_reader(turned)
    if joined is None or name_of(joined) not in ("view", "reshape", "flatten.using_ints") or rank(joined) != 3:
        return None
    before, after = turned.meta["val"].shape, joined.meta["val"].shape
    return joined if before[:2] == after[:2] else None
