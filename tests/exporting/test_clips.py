"""A clip before a quantizer costs the device nothing, at any scale that training may find."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgeft.exporting import passes
from edgeft.exporting.gates.agreement import cosine
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import products
from edgeft.exporting.trace import trace
from edgeft.quant import engine
from edgeft.scheme import U8S8
from edgeft.tasks.task import TensorSpec

INPUTS = [TensorSpec("pixel_values", "float32", ("batch", 3, 8, 8))]
OUTPUT = TensorSpec("logits", "float32", ("batch", 4))


class Clipped(nn.Module):
    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        self.clip = nn.Hardtanh(low, high)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.second(self.clip(2 * self.first(pixel_values))).mean((2, 3))


@pytest.mark.parametrize("grown", [1.0, 1.7])
@pytest.mark.parametrize("low, high", [(0.0, 6.0), (-1.0, 1.0), (-0.3, 2.0)])
def test_the_clip_is_gone_and_the_convolution_an_integer_one(tmp_path, low, high, grown):
    torch.manual_seed(0)
    batch = {"pixel_values": torch.randn(16, 3, 8, 8)}
    model = engine.build(Clipped(low, high).eval(), INPUTS, batch, U8S8)
    engine.calibrate(model, [batch])
    with torch.no_grad():
        for _, quantizer in model.quantizers():
            if not quantizer.grid.per_channel:
                quantizer.scale.mul_(grown)
        model.clamp()
        expected = model(**batch).numpy()
    model.set_mode("export")
    graph = trace(model, INPUTS, OUTPUT, batch, 20)
    passes.run(graph, passes.integer_pipeline(U8S8, 20, 9))
    ir.save(graph, tmp_path / "int8.onnx")
    arrays = [{name: tensor.numpy() for name, tensor in batch.items()}]
    artifact = Artifact("int8", tmp_path / "int8.onnx", INPUTS, OUTPUT, arrays, [], expected)
    assert "Clip" in [node.op_type for node in artifact.model.graph]
    assert "Clip" not in [node.op_type for node in artifact.optimized_model.graph]
    assert [product.kernel for product in products(artifact)] == ["QLinearConv", "QLinearConv"]
    assert cosine(artifact.expected, artifact.optimized) > 0.999
