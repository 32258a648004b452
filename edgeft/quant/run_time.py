"""Where linear layers read data whose range is taken while the model runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import fx

from edgeft.quant.data import DataQuantizer
from edgeft.quant.operators import name_of
from edgeft.scheme import Grid


@dataclass
class RunTime:
    """Puts DataQuantizers in front of linear layers; layers that read the same tensor share one.

    find   what tells on which calibrated grid a tensor lies; None = on none
    """

    graph: fx.GraphModule
    find: Callable[[Any], Any]
    _by_tensor: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def float_source(self, node: fx.Node) -> fx.Node | None:
        """What `node` reads, as an operator wrote it: in front of the quantizer it may have got since. None for what
        comes from a table of integers or was moved on its grid: onnxruntime fuses no blocks behind a DequantizeLinear.
        """
        operand = node.args[0]
        if isinstance(operand, fx.Node) and operand.op == "call_module":
            operand = operand.args[0]
        if not isinstance(operand, fx.Node) or name_of(operand) == "embedding":
            return None
        return operand if self.find(operand) is None else None

    def reads(self, node: fx.Node) -> bool:
        """Does `node` read data with a range taken at run time?"""
        return bool(node.args) and node.args[0] in self._by_tensor.values()

    def insert(self, node: fx.Node, grid: Grid) -> None:
        """Put what `node` reads on `grid`; a calibrated quantizer that nobody else reads then goes."""
        before = node.args[0]
        operand = self.float_source(node) if grid.block else before
        assert isinstance(operand, fx.Node) and isinstance(before, fx.Node)
        if operand not in self._by_tensor:
            self._by_tensor[operand] = self._new(node, operand, grid)
        node.update_arg(0, self._by_tensor[operand])
        if before is not operand and not before.users:
            self.graph.graph.erase_node(before)
            self.graph.delete_submodule(str(before.target))

    def _new(self, node: fx.Node, operand: fx.Node, grid: Grid) -> fx.Node:
        name = f"{node.name}_data_fq"
        self.graph.add_submodule(name, DataQuantizer(grid, self._leads_with_batch(operand)))
        with self.graph.graph.inserting_before(node):
            new = self.graph.graph.call_module(name, (operand,))
        new.meta["val"] = operand.meta.get("val")
        return new

    def _leads_with_batch(self, node: fx.Node) -> bool:
        first = next(iter(self.graph.graph.find_nodes(op="placeholder")))
        return str(node.meta["val"].shape[0]) == str(first.meta["val"].shape[0])
