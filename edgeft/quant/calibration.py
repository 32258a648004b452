"""Ranges set on examples: streamed through the graph in batches, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from edgeft import console
from edgeft.data.dataset import Example
from edgeft.quant import engine
from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import encoded
from edgeft.tasks.task import Encoder

# quantization.md 2.7: percentiles serve GELU, SiLU and ViT inputs; where nothing is extreme they are the extremes.
METHOD = "percentile"
_BATCH = 32
_NAMED = 3


def calibrate_on(
    model: QuantModel, encoder: Encoder, examples: Sequence[Example], method: str, apart: bool = False
) -> None:
    """Set every range of `model` from `examples`; warns of layers to whose values outliers left no codes.

    apart   see edgeft.quant.engine.calibrate
    Raises ModelError when a quantizer saw no data or values that are not finite.
    """
    device = next(model.parameters()).device
    engine.calibrate(model, _batches(encoder, examples, device), method, apart)
    if model.crowded and not apart:
        places = ", ".join(f"{name} ({codes} codes)" for name, codes in list(model.crowded.items())[:_NAMED])
        others = [other for other in ("percentile", "mse") if other != method]
        console.warn(
            f"outliers set the range of {len(model.crowded)} tensors, and their other values share very few codes: "
            f"{places}; --calibration {' or '.join(others)} clips, --keep-float leaves a layer float"
        )


def _batches(encoder: Encoder, examples: Sequence[Example], device: torch.device) -> Iterator[dict[str, Tensor]]:
    with console.bar("calibrating", len(examples), "samples") as bar:
        for chosen, tensors in encoded(encoder, examples, _BATCH, device):
            yield tensors
            bar.advance(len(chosen))
