"""The quantization-aware phase: calibrate on training samples, train against the float model, keep the better one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from edgeft import files
from edgeft.data.dataset import Example
from edgeft.errors import ModelError
from edgeft.quant import engine, store
from edgeft.quant.calibration import METHOD, calibrate_on
from edgeft.quant.choice import NO_WISH, Wish, named
from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import draw, encoded
from edgeft.scheme import Scheme
from edgeft.tasks.task import Encoder, without_mask
from edgeft.tuning.batches import Collate
from edgeft.tuning.batchsize import Step
from edgeft.tuning.checkpoints import saving
from edgeft.tuning.score import Judge
from edgeft.tuning.trainer import Loss, Recipe, Trained, train_phase

PHASE = "quantized"
# quantization.md section 7: weights 1e-5 .. 2e-5, scales slower and without decay.
LR_WEIGHTS = 2e-5
_LR_SCALES = 1e-5
# quantization.md section 7: ranges are frozen after the first third.
LEARN_RANGES = 0.33
_ADVICE = "try a lower --qat-lr or --learn-ranges 0, or keep the calibrated model with --qat-epochs 0"


@dataclass(frozen=True)
class Calibration:
    """Which training examples the ranges were set on, and how ("minmax", "percentile" or "mse")."""

    ids: tuple[str, ...]
    method: str = METHOD

    @property
    def record(self) -> dict[str, Any]:
        sha256 = files.sha256_text("\n".join(self.ids))
        return {"method": self.method, "n": len(self.ids), "ids": list(self.ids), "sha256": sha256}


def calibrated_model(
    model: nn.Module,
    scheme: Scheme,
    encoder: Encoder,
    examples: Sequence[Example],
    n: int,
    seed: int,
    method: str = METHOD,
    wish: Wish = NO_WISH,
) -> tuple[QuantModel, Calibration]:
    """The quantized graph of `model` with ranges from `n` seeded training examples (all of them when fewer).

    wish   layers that stay float, as far as it names them; for an automatic choice ranges are set apart
    """
    samples = draw(examples, n, [seed, 1])
    quantized = built(model, scheme, encoder, samples, wish)
    calibrate_on(quantized, encoder, samples, method, apart=wish.limit is not None)
    return quantized, Calibration(tuple(example.id for example in samples), method)


def built(model: nn.Module, scheme: Scheme, encoder: Encoder, samples: Sequence[Example], wish: Wish) -> QuantModel:
    """The quantized graph before calibration, changed as `wish` says of the layers it names.

    Raises UsageError for a pattern that no layer answers to, ModelError when nothing is left to quantize.
    """
    device = next(model.parameters()).device
    quantized = engine.build(model, encoder.inputs, example(encoder, samples, device), scheme)
    wish.grant(quantized, named(quantized, wish))
    if not any(True for _ in quantized.quantizers()):
        raise ModelError(
            "no operator of this model can be quantized", "tune it with --scheme none, or with fewer --keep-float"
        )
    return quantized


def example(encoder: Encoder, examples: Sequence[Example], device: torch.device) -> dict[str, Tensor]:
    """Tensors of two examples: what a graph with a free batch is captured with."""
    pair = [examples[0], examples[-1]]
    return without_mask(next(encoded(encoder, pair, len(pair), device))[1])


class _Bounds(transformers.TrainerCallback):
    """Keeps scales within their bounds after every step, and stops training them after a share of the steps."""

    def __init__(self, model: QuantModel, learn_ranges: float) -> None:
        self._model, self._learn_ranges = model, learn_ranges
        self._frozen = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not self._frozen and state.global_step >= self._learn_ranges * state.max_steps:
            self._model.freeze_ranges()
            self._frozen = True

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._model.clamp()


def train_quantized(
    quantized: QuantModel,
    recipe: Recipe,
    loss: Loss,
    judge: Judge,
    examples: Sequence[Example],
    collate: Collate,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
    learn_ranges: float = LEARN_RANGES,
) -> Trained:
    """Train `quantized` in place against `loss`; it is left with the weights of its best epoch.

    recipe        precision is fp32 here whatever was asked for: fake-quantization in half precision rounds twice
    learn_ranges  share of the steps in which scales learn (LSQ); after it, or from the start with 0, they stand still
    """
    quantized.to(device)
    quantized.set_mode("train")
    optimizer = _optimizer(quantized, recipe)
    return train_phase(
        PHASE, quantized, replace(recipe, precision="fp32"), loss, judge, examples, collate, folder=folder,
        seed=seed, device=device, optimizer=optimizer, callbacks=[_Bounds(quantized, learn_ranges)],
        advice=_ADVICE,
    )  # fmt: skip


def _optimizer(quantized: QuantModel, recipe: Recipe) -> torch.optim.Optimizer:
    learning = [parameter for parameter in quantized.other_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learning if p.dim() <= 1], "weight_decay": 0.0},
        {"params": list(quantized.scale_parameters()), "weight_decay": 0.0, "lr": _LR_SCALES},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.lr)


def qat_recipe(epochs: float, step: Step, workers: int, report_to: str, lr: float = LR_WEIGHTS) -> Recipe:
    rate = step.rate * lr
    return Recipe(epochs, step.examples, rate, "linear", 0.05, 0.01, "fp32", 0, workers, report_to, parts=step.parts)


def save_calibrated(quantized: QuantModel, calibration: Calibration, folder: Path) -> None:
    """Write quantized/ with the calibrated model and which samples it saw, whole or not at all."""
    with files.whole_folder(folder) as work, saving(work):
        store.save_state(quantized, work, "calibrated")
        files.write_json(work / "calibration.json", calibration.record)


def save_trained(quantized: QuantModel, folder: Path) -> None:
    """Add the trained model to quantized/; a kill leaves the folder as it was."""
    with files.whole_folder(folder) as work, saving(work):
        shutil.copytree(folder, work, dirs_exist_ok=True)
        store.save_state(quantized, work, "trained")
