"""The float phase: fine-tune what is not frozen, keep the best epoch, and prove that the frozen part kept still."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback

from edgeft import console, files
from edgeft.tuning.checkpoints import saving
from edgeft.tuning.freeze import frozen_tensors, hash_tensors, held_still, prove_unchanged
from edgeft.tuning.frozen import Subject
from edgeft.tuning.rates import optimizer_for
from edgeft.tuning.trainer import Loss, Recipe, Trained, train_phase

PHASE = "float"


def fine_tune(
    name: str,
    model: nn.Module,
    recipe: Recipe,
    loss: Loss,
    subject: Subject,
    *,
    folder: Path,
    seed: int,
    device: torch.device,
    fresh: tuple[str, ...] = (),
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[Trained, list[dict[str, str]]]:
    """Train `model` in place. Returns how it went and the record of every frozen tensor, before and after.

    name    of the phase or stage, in metrics.jsonl and of its checkpoints
    subject what is trained: the model, or its head on features; it shares the model's parameters
    fresh   modules with new weights (see edgeft.tuning.rates); without any, the model given is an epoch like the
            others, and comes back when none is better
    Raises ModelError when a frozen tensor changed. With 0 epochs nothing is trained.
    """
    before = hash_tensors(frozen_tensors(model))
    model.to(device, memory_format=torch.channels_last)
    scored = not fresh or recipe.epochs == 0
    start = Trained(float(subject.judge.scores(subject.model, "validation").value), 0.0, 0) if scored else None
    if start is not None and recipe.epochs == 0:
        trained = start
    else:
        given = {name: t.clone() for name, t in model.state_dict().items() if start is not None and name not in before}
        with held_still(model):
            trained = train_phase(
                name, subject.model, recipe, loss, subject.judge, subject.examples, subject.collate,
                folder=folder, seed=seed, device=device, optimizer=optimizer_for(subject.model, recipe, fresh),
                callbacks=callbacks,
            )  # fmt: skip
        if start is not None and trained.best_value < start.best_value:
            metric, found = subject.judge.metric, f"{start.best_value:.4f}, best epoch {trained.best_value:.4f}"
            console.say(f"no epoch was better than the start, which is kept ({metric} on validation {found})")
            model.load_state_dict(given, strict=False)
            trained = replace(start, steps=trained.steps)
    model.eval().to(memory_format=torch.contiguous_format)
    return trained, prove_unchanged(before, hash_tensors(frozen_tensors(model)))


def save_float(model: Any, processor: Any, folder: Path, tokenizer: Path | None = None) -> None:
    """Write the model the transformers way, with its tokenizer or image processor, whole or not at all.

    tokenizer   tokenizer.json as the device reads it; it takes the place of transformers' own, which differs from
                it only in truncation and padding left over from the last call
    """
    with files.whole_folder(folder) as work, saving(work):
        model.save_pretrained(work)
        processor.save_pretrained(work)
        if tokenizer is not None and tokenizer.is_file():
            shutil.copyfile(tokenizer, work / tokenizer.name)
