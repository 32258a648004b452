"""Networks that write in place (relu_, +=) train quantized and compute the same."""

from __future__ import annotations

import torch
from torch import nn

from edgeft.quant import engine
from edgeft.scheme import U8S8
from edgeft.tasks.task import TensorSpec


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu_(self.first(x))
        y = self.second(x)
        y += x
        y.relu_()
        return self.head((y + 0.5 * x).mean((2, 3)))


INPUTS = (TensorSpec("x", "float32", ("batch", 3, 8, 8)),)


def test_in_place_networks_train_quantized() -> None:
    torch.manual_seed(0)
    model, batch = InPlace(), {"x": torch.randn(4, 3, 8, 8)}
    quantized = engine.build(model, INPUTS, batch, U8S8)
    quantized.set_mode("float")
    torch.testing.assert_close(quantized(**batch), model(**batch))
    engine.calibrate(quantized, [batch])
    quantized(**batch).square().sum().backward()
    assert all(scale.grad is not None for scale in quantized.scale_parameters())
