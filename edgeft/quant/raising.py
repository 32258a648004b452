"""Layers with 16-bit activations among 8-bit ones, for targets that have kernels for both widths (QNN HTP).

A kernel reads and writes one width. What a raised layer makes lies on the wide grid; where a tensor of one width meets
a layer of the other, a second quantizer stands between them, which the device runs as a conversion.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from edgeft.errors import UsageError
from edgeft.quant.engine import QuantModel
from edgeft.quant.insert import Inserter, data_operands
from edgeft.quant.layers import Wiring
from edgeft.quant.operators import FIXED, name_of
from edgeft.quant.quantizer import BiasQuantizer, Quantizer
from edgeft.scheme import Grid, Scheme


def refuse_raise(scheme: Scheme) -> None:
    """Raises UsageError when the target has no 16-bit activations beside its 8-bit ones."""
    if scheme.raised is None:
        raise UsageError(
            f"--raise 16bit: the target computes with {scheme.title} and nothing wider",
            "leave it out, and the layers of --keep-float stay float",
        )


def raise_activations(model: QuantModel, reasons: Mapping[str, str]) -> None:
    """Give the layers named in `reasons` (name of the node -> why) 16-bit activations, before calibration.

    Raises UsageError when the target has none, KeyError for a name that is no layer.
    """
    scheme = model.scheme
    assert scheme is not None
    refuse_raise(scheme)
    assert scheme.raised is not None
    wiring, nodes = Wiring(model), {node.name: node for node in model.graph.graph.nodes}
    layers = [nodes[layer.name] for layer in wiring.layers]
    for name in reasons:
        wiring.around(name)
    for edge in wiring.edges:
        if edge.maker in reasons or (edge.maker is None and edge.readers and edge.readers <= set(reasons)):
            maker = nodes[edge.maker] if edge.maker is not None else None
            _widen(model.graph.get_submodule(edge.quantizer), maker, scheme.raised)
    for layer in layers:
        _convert_inputs(model, layer, scheme.raised if layer.name in reasons else scheme.activation)
    model.graph.graph.lint()
    model.graph.recompile()
    model.raised.update(reasons)
    model.float_nodes += reasons.items()


def _widen(quantizer: Quantizer, maker: fx.Node | None, grid: Grid) -> None:
    kind = name_of(maker) if maker is not None else ""
    quantizer.regrid(grid, FIXED[kind](grid) if kind in FIXED else None)


def _convert_inputs(model: QuantModel, layer: fx.Node, grid: Grid) -> None:
    """A quantizer of `grid` in front of every operand of `layer` that lies on a grid of the other width."""
    assert model.scheme is not None
    finder = Inserter(model.graph, model.scheme)
    for index, operand in [] if name_of(layer) == "embedding" else data_operands(layer, name_of(layer)):
        source = finder.find(operand)
        if source is None or not _differs(source.quantizer.grid, grid, model.scheme):
            continue
        name = f"{layer.name}_input{index}_as_{grid.dtype}_fq"
        converted = Quantizer(grid).to(source.quantizer.scale.device)
        model.graph.add_submodule(name, converted)
        with model.graph.graph.inserting_before(layer):
            new = model.graph.graph.call_module(name, (operand,))
        new.meta["val"] = operand.meta.get("val")
        layer.replace_input_with(operand, new)
        _tell_bias(model, layer, converted)


def _differs(found: Grid, wanted: Grid, scheme: Scheme) -> bool:
    """A raised layer reads the wide grid only; others read anything but that."""
    return found != wanted if wanted == scheme.raised else found == scheme.raised


def _tell_bias(model: QuantModel, layer: fx.Node, data: Quantizer) -> None:
    """The bias lies on the product of the scales that the layer now reads, whatever was multiplied on the way."""
    for operand in layer.all_input_nodes:
        bias = model.graph.get_submodule(str(operand.target)) if operand.op == "call_module" else None
        if isinstance(bias, BiasQuantizer):
            bias.read(data)
