"""Pass 3a: products whose data gets its range at run time become MatMulInteger.

DynamicQuantizeLinear -> DequantizeLinear -> MatMul is a float product of dequantized numbers wherever a bias follows
(quantization.md section 3); written out in integers it fuses to DynamicQuantizeMatMul or MatMulIntegerToFloat.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgeft.exporting import graph


def _range_at_run_time(node: ir.Node) -> ir.Node | None:
    """The DynamicQuantizeLinear whose dequantized output is the data of `node`."""
    data = graph.producer_of(node.inputs[0], "DequantizeLinear")
    return graph.producer_of(data.inputs[0], "DynamicQuantizeLinear") if data is not None else None


@dataclass(frozen=True)
class MultiplyIntegers:
    """(x_q - z) s_x . W_q s_w (+ b)  ->  MatMulInteger(x_q, W_q, z), Cast, Mul(s_x * s_w) (, Add b)."""

    name: str = "integer products"
    contract: str = "no product reads what was quantized at run time and dequantized again"

    def apply(self, model: ir.Model) -> int:
        done = 0
        for node in graph.nodes(model, "MatMul", "Gemm"):
            source, weight = _range_at_run_time(node), graph.stored_weight(node.inputs[1])
            if source is not None and weight is not None:
                self._rewrite(model, node, source, weight)
                done += 1
        return done

    @staticmethod
    def _rewrite(model: ir.Model, node: ir.Node, source: ir.Node, weight: ir.Node) -> None:
        codes, scale, zero = source.outputs
        name, data = str(node.outputs[0].name), node.inputs[0]
        sums = graph.before(model, node, "MatMulInteger", [codes, weight.inputs[0], zero], f"{name}_int32")
        floats = graph.before(model, node, "Cast", [sums], f"{name}_float", to=int(ir.DataType.FLOAT))
        step = graph.before(model, node, "Mul", [scale, weight.inputs[1]], f"{name}_step")
        product = graph.before(model, node, "Mul", [floats, step], f"{name}_product")
        if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
            product = graph.before(model, node, "Add", [product, node.inputs[2]], f"{name}_sum")
        sums.producer().name = node.name  # type: ignore[union-attr]
        graph.replace(model, node.outputs[0], product)
        graph.drop(model, node)
        graph.drop(model, weight)
        if data is not None and data.producer() is not None:
            graph.drop(model, data.producer())  # type: ignore[arg-type]

    def broken(self, model: ir.Model) -> list[str]:
        return [graph.title(node) for node in graph.nodes(model, *graph.PRODUCTS) if _range_at_run_time(node)]
