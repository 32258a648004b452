"""What quantizing costs, layer by layer: measured by switching quantizers on and off in one captured graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import answers
from edgeft.quant.layers import Layer, Wiring
from edgeft.quant.quantizer import BiasQuantizer, Quantizer

Logits = NDArray[np.float32]
Batches = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Loss:
    """How far a model is from the float one on the same samples.

    kl         mean over samples of KL(float || this) of the softmax, in nats
    agreement  share of samples with the same largest logit
    score      the task's metric of this model, 0..1; None without labels
    """

    kl: float
    agreement: float
    score: float | None = None

    def as_json(self) -> dict[str, float]:
        found = {"kl": self.kl, "agreement": self.agreement}
        return found if self.score is None else {**found, "score": self.score}


@dataclass(frozen=True)
class LayerLoss:
    """alone: only this layer quantized, all others in float. without: all quantized, this one in float."""

    layer: Layer
    alone: Loss
    without: Loss


@dataclass(frozen=True)
class Sensitivity:
    """Losses of every layer on `n` samples, the most harmful alone first; `whole` is that of all layers quantized."""

    n: int
    float_score: float | None
    whole: Loss
    layers: tuple[LayerLoss, ...]


class Switchboard:
    """Runs a calibrated model on fixed samples with some of its quantizers switched off.

    score   logits [n, labels] -> the task's metric, for samples with labels
    Use it as a context: the model comes in train mode and goes back to it.
    """

    def __init__(self, model: QuantModel, batches: Batches, score: Callable[[Logits], float] | None = None) -> None:
        self.wiring = Wiring(model)
        self._model, self._batches, self._score = model, batches, score
        switched = (Quantizer, BiasQuantizer)
        self._switches: dict[str, Any] = {n: m for n, m in model.graph.named_modules() if isinstance(m, switched)}

    def __enter__(self) -> Switchboard:
        self._float = self._logits(set())
        self.float_score = self._score(self._float) if self._score is not None else None
        return self

    def __exit__(self, *_: object) -> None:
        self._model.set_mode("train")

    @property
    def n(self) -> int:
        return len(self._float)

    def alone(self, layer: str) -> Loss:
        return self._loss(self.wiring.around(layer))

    def without(self, layers: Iterable[str]) -> Loss:
        """All quantized but `layers`."""
        return self._loss(set(self._switches) - self.wiring.off(layers))

    @torch.no_grad()
    def _logits(self, on: set[str]) -> Logits:
        for name, switch in self._switches.items():
            switch.mode = "train" if name in on else "float"
        return np.concatenate([answers(self._model, batch) for batch in self._batches])

    def _loss(self, on: set[str]) -> Loss:
        logits = self._logits(on)
        same = float((logits.argmax(1) == self._float.argmax(1)).mean())
        scored = self._score is not None and np.isfinite(logits).all()
        return Loss(divergence(self._float, logits), same, self._score(logits) if scored else None)  # type: ignore[misc]


def divergence(wanted: Logits, given: Logits) -> float:
    """Mean over rows of KL(wanted || given) of the softmax, in nats; infinite when a logit is not finite."""
    if not np.isfinite(given).all():
        return float("inf")
    p, q = (F.log_softmax(torch.from_numpy(logits).double(), dim=1) for logits in (wanted, given))
    return max(0.0, float(F.kl_div(q, p, log_target=True, reduction="batchmean")))


def measure(board: Switchboard, advance: Callable[[], None] = lambda: None) -> Sensitivity:
    """Every layer alone and every layer left out; `advance` is called after each layer."""
    found = []
    for layer in board.wiring.layers:
        found.append(LayerLoss(layer, board.alone(layer.name), board.without([layer.name])))
        advance()
    found.sort(key=lambda loss: -loss.alone.kl)
    return Sensitivity(board.n, board.float_score, board.without([]), tuple(found))
