"""Quantizers onto the edges of a captured graph, by the rules of quantization.md 2.4 and 2.6.

One quantizer a tensor: after insertion every use of the tensor reads the quantizer's output. After a data-movement
operator stands the grid of what it moved, so that the device sees equal scales on both sides and drops the pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from edgeft.quant.blocks import BlockQuantizer
from edgeft.quant.marks import is_bookkeeping, live_nodes, masked_nodes
from edgeft.quant.nodes import attribute, is_float
from edgeft.quant.operators import (
    BINARY,
    CLIP,
    CLIP_BOUNDS,
    CONVOLUTION,
    FIXED,
    FLOAT_ANSWERS,
    LIST,
    MATMUL,
    MAXIMUM,
    OWN,
    PAD,
    RESCALE,
    THROUGH,
    VIEW,
    WEIGHTED,
    name_of,
    pad_value,
)
from edgeft.quant.quantizer import BiasQuantizer, Quantizer, SameGrid
from edgeft.quant.run_time import RunTime
from edgeft.scheme import Grid, Scheme

# Operators whose integer kernels need every data input on a grid.
NEEDS_QUANTIZED_INPUTS = WEIGHTED | MATMUL | BINARY | {"cat"}


@dataclass(frozen=True)
class Source:
    """Where a tensor's numbers come from: a quantizer, and the constant its values were multiplied by since."""

    quantizer: Quantizer
    factor: float = 1.0


@dataclass
class Inserter:
    """Puts the quantizers of `scheme` into `graph`, node by node in graph order.

    live        nodes that carry data, against bookkeeping such as masks and positions
    masked      sums between a mask and its softmax, which stay float
    completed   tensors that got a quantizer only because a product needed one
    kept_float  operators left alone, with the reason
    """

    graph: fx.GraphModule
    scheme: Scheme
    live: set[fx.Node] = field(default_factory=set)
    masked: set[fx.Node] = field(default_factory=set)
    completed: list[str] = field(default_factory=list)
    kept_float: list[tuple[str, str]] = field(default_factory=list)
    _on_grid: dict[fx.Node, fx.Node] = field(default_factory=dict)
    _run_time: RunTime = field(init=False)

    def __post_init__(self) -> None:
        self._run_time = RunTime(self.graph, self.find)

    def run(self) -> None:
        nodes = list(self.graph.graph.nodes)
        self.live = live_nodes(self.graph, nodes)
        self.masked = masked_nodes(nodes, self.live)
        for act in _ACTS[self.scheme.quantizes]:
            for node in nodes:
                act(self, node)
        self.graph.graph.lint()
        self.graph.recompile()

    # --- one node ---

    def _visit(self, node: fx.Node) -> None:
        name = name_of(node)
        if node.op == "placeholder" and node in self.live:
            self._after(node, self._activation())
        if not name or node not in self.live or not is_float(node) or name in LIST or _is_looked_through(node):
            return
        if node in self.masked or self._rescales(node):
            return
        grid = self._grid_kept(node, name)
        if grid is not None:
            self._after(node, SameGrid(grid))
        elif name in VIEW:
            return
        elif name == "embedding" and attribute(self.graph, node.args[0]) is not None:
            self._quantize_table(node)
        else:
            self._visit_operator(node, name)

    def _grid_kept(self, node: fx.Node, name: str) -> Quantizer | None:
        """The quantizer on whose grid `node` only moves numbers: one source's, or that of all parts put together."""
        if name in VIEW or (name in PAD and pad_value(node) == 0.0):
            parts: list[Any] = [node.args[0]]
        elif name == "cat":
            parts = list(node.args[0])  # type: ignore[arg-type]
        else:
            return None
        found = [self.find(part) for part in parts]
        sources = [source for source in found if source is not None and source.factor == 1.0]
        same = len(sources) == len(parts) and len({id(source.quantizer) for source in sources}) == 1
        return sources[0].quantizer if same else None

    def _visit_operator(self, node: fx.Node, name: str) -> None:
        if name in WEIGHTED and attribute(self.graph, node.args[1]) is not None:
            self._quantize_weight(node)
        if name not in WEIGHTED | MATMUL | BINARY | OWN | CLIP | PAD:
            self.kept_float.append((node.name, f"no integer form of {name} is known"))
            return
        if name in WEIGHTED | BINARY and _only_user_clips(node):
            return
        readers = self._readers(node, name)
        if readers:
            self._after(node, self._output_quantizer(node, name), readers)

    def _readers(self, node: fx.Node, name: str) -> list[fx.Node]:
        """Which users are to read the output of this operator from a grid.

        All, on a target that computes in integers alone, and where an integer kernel writes it (a convolution, a sum
        of two tensors on the grid). On a target whose products can answer in float, else only the way to a product:
        a pair of conversions around a float operator costs time and accuracy, and gains nothing.
        """
        if not self._may_stay_float(name) or self._is_integer_sum(node, name):
            return list(node.users)
        return [user for user in node.users if self._leads_to_product(user)]

    def _may_stay_float(self, name: str) -> bool:
        return self.scheme.float_answers and name in FLOAT_ANSWERS

    def _is_integer_sum(self, node: fx.Node, name: str) -> bool:
        """Does this sum or product have tensors on the grid on both sides, or one and a stored constant?"""
        if name not in BINARY:
            return False
        sources = [self.find(operand) for operand in node.args[:2]]
        on_grid = [each is not None and each.quantizer.grid == self.scheme.activation for each in sources]
        stored = [isinstance(each, fx.Node) and self._stored(each)[0] is not None for each in node.args[:2]]
        return any(on_grid) and all(a or b for a, b in zip(on_grid, stored, strict=True))

    def _leads_to_product(self, reader: fx.Node) -> bool:
        """Does a product read these numbers, through nothing but what moves, rescales or clips them?"""
        name = name_of(reader)
        if name in WEIGHTED | MATMUL:
            return True
        passes = name in VIEW | LIST | THROUGH | PAD | CLIP or (name in RESCALE and constant_factor(reader) is not None)
        return passes and any(self._leads_to_product(user) for user in reader.users)

    def _output_quantizer(self, node: fx.Node, name: str) -> Quantizer:
        grid = self.scheme.activation
        fixed = FIXED[name](grid) if name in FIXED else None
        if fixed is not None:
            return Quantizer(grid, fixed=fixed)
        return self._activation(CLIP_BOUNDS[name](node) if name in CLIP_BOUNDS else None)

    def _activation(self, clip: tuple[float, float] | None = None) -> Quantizer:
        return Quantizer(self.scheme.activation, clip=clip)

    def _quantize_weight(self, node: fx.Node) -> None:
        weight = node.args[1]
        assert isinstance(weight, fx.Node)
        tensor = attribute(self.graph, weight)
        assert tensor is not None
        grid = self.scheme.weight
        if name_of(node) == "linear":
            grid = self._linear_grid(node, tensor) or grid
        if grid.block:
            quantizer: Quantizer = BlockQuantizer(grid, *tensor.shape)
        else:
            quantizer = Quantizer(grid, channels=tensor.shape[0], axis=0, whole_range=True, constant=True)
        self._replace_argument(node, 1, quantizer, f"{node.name}_weight_fq")
        if self.scheme.linear_data is not None and self.scheme.linear_data.block == grid.block:
            self._run_time.insert(node, self.scheme.linear_data)

    def _linear_grid(self, node: fx.Node, weight: Tensor) -> Grid | None:
        """The grid the scheme wants for the weight of a linear layer; None where the layer cannot have it."""
        last = self.scheme.last_weight
        grid = last if last is not None and _answers(node) else self.scheme.linear_weight
        fits = not grid.block or (weight.shape[1] % grid.block == 0 and self._run_time.float_source(node) is not None)
        return grid if fits else None

    def _quantize_table(self, node: fx.Node) -> None:
        quantizer = Quantizer(self.scheme.table, constant=True)
        self._replace_argument(node, 0, quantizer, f"{node.name}_table_fq")
        self._after(node, SameGrid(quantizer))

    def _complete(self, node: fx.Node) -> None:
        """Give every data input of a product or sum that still comes in float a quantizer of its own."""
        name = name_of(node)
        if name not in NEEDS_QUANTIZED_INPUTS or node not in self.live or node in self.masked:
            return
        if self._rescales(node) or self._run_time.reads(node):
            return
        if name in BINARY and self._may_stay_float(name) and not self._is_integer_sum(node, name):
            return
        for index, operand in data_operands(node, name):
            if not is_float(operand) or self.find(operand) is not None:
                continue
            stored, moves = self._stored(operand)
            if stored is not None:
                reader = moves[0] if moves else node
                self._replace_operand(reader, index, stored, Quantizer(self.scheme.activation, whole_range=True))
                for move in moves:
                    self._visit(move)
            elif operand in self.live or (name == "mul.Tensor" and is_bookkeeping(operand, self.live)):
                self.completed.append(f"{operand.name} -> {node.name}")
                self._replace_operand(node, index, operand)

    def _stored(self, operand: fx.Node) -> tuple[fx.Node | None, list[fx.Node]]:
        """The constant that `operand` is, and the moves that made it so, first one first; None for what is none.

        Its grid takes in all of it, whatever the calibration method: all of it is known.
        """
        moves: list[fx.Node] = []
        while name_of(operand) in VIEW and isinstance(operand.args[0], fx.Node):
            moves.insert(0, operand)
            operand = operand.args[0]
        return (operand if attribute(self.graph, operand) is not None else None), moves

    def _quantize_reads(self, node: fx.Node) -> None:
        """Put what a product reads on a grid, and of a residual sum the operand that no convolution is fused with."""
        name = name_of(node)
        if name in WEIGHTED and attribute(self.graph, node.args[1]) is not None:
            self._quantize_weight(node)
        operands = data_operands(node, name) if name in WEIGHTED | MATMUL else _skip_operands(node)
        for index, operand in operands:
            if operand in self.live and is_float(operand) and self.find(operand) is None:
                self._replace_operand(node, index, operand)

    def _quantize_linear(self, node: fx.Node) -> None:
        """Put tables, weights of linear layers and what these read on grids; say why other products stay float."""
        name = name_of(node)
        if name == "embedding" and attribute(self.graph, node.args[0]) is not None:
            self._replace_argument(node, 0, Quantizer(self.scheme.table, constant=True), f"{node.name}_table_fq")
            return
        weight = attribute(self.graph, node.args[1]) if name == "linear" else None
        if weight is not None and self._linear_grid(node, weight) is not None:
            self._quantize_weight(node)
        elif name in WEIGHTED | MATMUL:
            self.kept_float.append((node.name, _why_float(name, weight)))

    def _quantize_bias(self, node: fx.Node) -> None:
        if (
            not self.scheme.integer_bias
            or name_of(node) not in WEIGHTED
            or len(node.args) < 3
            or attribute(self.graph, node.args[2]) is None
        ):
            return
        source, weight = self.find(node.args[0]), self.find(node.args[1])
        if source is None or weight is None:
            return
        quantizer = BiasQuantizer(source.quantizer, weight.quantizer, source.factor)
        self._replace_argument(node, 2, quantizer, f"{node.name}_bias_fq")

    # --- looking back ---

    def find(self, node: Any) -> Source | None:
        """The quantizer whose grid the numbers of `node` lie on, looking back through what only moves them."""
        factor = 1.0
        while isinstance(node, fx.Node):
            if node.op == "call_module":
                module = self.graph.get_submodule(str(node.target))
                quantizer = module.quantizer if isinstance(module, SameGrid) else module
                return Source(quantizer, factor) if isinstance(quantizer, Quantizer) else None
            name = name_of(node)
            if self._rescales(node):
                factor *= constant_factor(node) or 1.0
            elif name not in VIEW | LIST and not _is_looked_through(node):
                return None
            node = node.args[0]
        return None

    def _rescales(self, node: fx.Node) -> bool:
        """Is this a multiplication by a positive constant of a tensor on a grid, that only products and sums read?

        When a view follows, the scale on both of its sides would differ, so it is then a product like any other.
        """
        if name_of(node) not in RESCALE or constant_factor(node) is None:
            return False
        if any(name_of(user) in VIEW | LIST for user in node.users):
            return False
        source = node.args[0]
        if not isinstance(source, fx.Node):
            return False
        if source.op == "call_module":
            return True
        # Before its own visit a producer has no quantizer yet; the producer decides.
        return source in self.live and name_of(source) in WEIGHTED | MATMUL | OWN | VIEW

    # --- changing the graph ---

    def _after(self, node: fx.Node, module: torch.nn.Module, readers: Sequence[fx.Node] | None = None) -> None:
        """A quantizer on the output of `node`, for these of its users, by default all."""
        target = self._register(module, f"{node.name}_fq")
        users = list(node.users) if readers is None else readers
        with self.graph.graph.inserting_after(node):
            new = self.graph.graph.call_module(target, (node,))
        new.meta["val"] = node.meta.get("val")
        self.live.add(new)
        for user in users:
            user.replace_input_with(node, new)

    def _replace_argument(self, node: fx.Node, index: int, module: torch.nn.Module, name: str) -> None:
        target = self._register(module, name)
        operand = node.args[index]
        assert isinstance(operand, fx.Node)
        with self.graph.graph.inserting_before(node):
            new = self.graph.graph.call_module(target, (operand,))
        new.meta["val"] = operand.meta.get("val")
        node.update_arg(index, new)

    def _replace_operand(
        self, node: fx.Node, index: int, operand: fx.Node, quantizer: Quantizer | None = None
    ) -> None:
        """A quantizer between `operand` and `node`; nodes that read the same tensor share it."""
        new = self._on_grid.get(operand)
        if new is None:
            target = self._register(quantizer or self._activation(), f"{node.name}_input{index}_fq")
            with self.graph.graph.inserting_after(operand):
                new = self.graph.graph.call_module(target, (operand,))
            new.meta["val"] = operand.meta.get("val")
            self.live.add(new)
            self._on_grid[operand] = new
        node.replace_input_with(operand, new)

    def _register(self, module: torch.nn.Module, name: str) -> str:
        self.graph.add_submodule(name, module)
        return name


# What is done to each node in graph order, by what the target wants on a grid.
_ACTS: dict[str, tuple[Callable[[Inserter, fx.Node], None], ...]] = {
    "outputs": (Inserter._visit, Inserter._complete, Inserter._quantize_bias),
    "inputs": (Inserter._quantize_reads, Inserter._quantize_bias),
    "linear": (Inserter._quantize_linear,),
}


def _answers(node: fx.Node) -> bool:
    """Is this the linear layer whose outputs are the logits?"""
    return name_of(node) == "linear" and all(user.op == "output" for user in node.users)


def _why_float(name: str, weight: Tensor | None) -> str:
    if name == "linear" and weight is not None:
        return f"its {weight.shape[1]} inputs are no multiple of the block, or come from a table"
    return "this scheme leaves all but linear layers in float"


def _only_user_clips(node: fx.Node) -> bool:
    return len(node.users) == 1 and name_of(next(iter(node.users))) in CLIP


def constant_factor(node: fx.Node) -> float | None:
    """The positive constant this product or quotient multiplies by; None when it does anything else."""
    if len(node.args) < 2 or not isinstance(node.args[1], (int, float)):
        return None
    value = float(node.args[1])
    if not math.isfinite(value) or value <= 0:
        return None
    return 1.0 / value if name_of(node).startswith("div") else value


def _is_looked_through(node: fx.Node) -> bool:
    """Does nothing stand here on the device: a no-op, zeros the next convolution pads with by itself, or a padding of
    which a maximum takes no notice?"""
    name = name_of(node)
    if name not in PAD:
        return name in THROUGH
    value, readers = pad_value(node), {name_of(user) for user in node.users}
    return (value == 0.0 and readers <= CONVOLUTION) or (value == -math.inf and readers <= MAXIMUM)


def _skip_operands(node: fx.Node) -> list[tuple[int, fx.Node]]:
    """Of a residual sum the branch beside the convolution that a fused kernel adds it to; nothing for other nodes."""
    if name_of(node) != "add.Tensor":
        return []
    operands = [(i, operand) for i, operand in enumerate(node.args[:2]) if isinstance(operand, fx.Node)]
    fused = [i for i, operand in operands if name_of(operand) in CONVOLUTION and len(operand.users) == 1]
    return [(i, operand) for i, operand in operands if i != fused[0]] if fused and len(operands) == 2 else []


def data_operands(node: fx.Node, name: str) -> list[tuple[int, fx.Node]]:
    if name in WEIGHTED:
        operands: list[Any] = [node.args[0]]
    elif name == "cat":
        operands = list(node.args[0])  # type: ignore[arg-type]
    else:
        operands = list(node.args[:2])
    return [(i, operand) for i, operand in enumerate(operands) if isinstance(operand, fx.Node)]
