"""Layers that compute in float by choice: their quantizers are taken out of the graph, and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from edgeft.quant.engine import QuantModel
from edgeft.quant.insert import NEEDS_QUANTIZED_INPUTS
from edgeft.quant.layers import Wiring
from edgeft.quant.operators import name_of
from edgeft.quant.quantizer import BiasQuantizer, Quantizer, SameGrid


def keep_float(model: QuantModel, reasons: Mapping[str, str]) -> None:
    """Let the layers named in `reasons` (name of the node -> why) compute in float, before calibration.

    A tensor that an integer kernel beside them reads or writes keeps its grid, so that every other product stays an
    integer one. Raises KeyError for a name that is no layer.
    """
    wiring = Wiring(model)
    off = wiring.off(reasons)
    for node in list(model.graph.graph.nodes):
        if name_of(node) == "embedding" and node.name in reasons:
            _grid_for_rows(model, node, wiring.readers(node), set(reasons))
    graph = model.graph.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and _quantizer_name(model, node) in off:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    model.graph.delete_all_unused_submodules()
    graph.lint()
    model.graph.recompile()
    model.kept.update(reasons)
    model.float_nodes += reasons.items()


def _quantizer_name(model: QuantModel, node: fx.Node) -> str:
    """Name of the quantizer whose grid this node puts its tensor on."""
    module = model.graph.get_submodule(str(node.target))
    if not isinstance(module, SameGrid):
        return str(node.target)
    return next(name for name, quantizer in model.quantizers() if quantizer is module.quantizer)


def _grid_for_rows(model: QuantModel, node: fx.Node, readers: set[str], kept: set[str]) -> None:
    """What is read from a table lies on the table's grid. Without that one it needs its own, where products read it."""
    assert model.scheme is not None
    nodes = {each.name: each for each in model.graph.graph.nodes}
    if not any(name_of(nodes[reader]) in NEEDS_QUANTIZED_INPUTS for reader in readers - kept):
        return
    table = model.graph.get_submodule(node.args[0].target)
    own = Quantizer(model.scheme.activation).to(table.scale.device)
    model.graph.add_submodule(next(iter(node.users)).target, own)
    for module in model.graph.modules():
        if isinstance(module, (SameGrid, BiasQuantizer)):
            module.follow(table, own)
