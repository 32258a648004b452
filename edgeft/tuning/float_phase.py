"""The float phase of a run: a new head started, then stage after stage of --freeze, then the best model saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import torch
import transformers
from torch import nn

from edgeft import console, files, ranks
from edgeft.tuning import checkpoints, floating, processes
from edgeft.tuning.advice import advice
from edgeft.tuning.architecture import head_names
from edgeft.tuning.batches import Collate
from edgeft.tuning.freeze import freeze, learning, learns_only
from edgeft.tuning.frozen import Backbone, Subject, on_features
from edgeft.tuning.job import TOKENIZER, Job
from edgeft.tuning.parts import table
from edgeft.tuning.probe import start_head
from edgeft.tuning.rates import rates
from edgeft.tuning.refusals import refuse_untrained
from edgeft.tuning.schedule import Passed, Stage
from edgeft.tuning.score import Judge
from edgeft.tuning.trainer import Loss, Trained
from edgeft.tuning.watch import METRICS, read_metrics


def float_phase(
    job: Job,
    model: nn.Module,
    processor: Any,
    stages: Sequence[Stage],
    loss: Loss,
    judge: Judge,
    collate: Collate,
    callbacks: Sequence[transformers.TrainerCallback] = (),
) -> nn.Module:
    """Fine-tune, or read what an earlier call fine-tuned. The model comes back in eval mode, on the job's device."""
    fresh = tuple((job.state.done("original") or {})["fresh"])
    refuse_untrained(stages[0].recipe.epochs, fresh)
    if job.state.done("float") is not None:
        auto = getattr(transformers, job.task.auto_model)
        model = auto.from_pretrained(job.folder / "float", dtype="float32").to(job.device).eval()
        freeze(model, stages[-1].kind, fresh)
        return model
    with job.timed("float"):
        model.to(job.device, memory_format=torch.channels_last)
        probed = _start_head(job, model, fresh, judge, loss)
        new, passed = () if probed else fresh, Passed()
        for number, stage in enumerate(stages, 1):
            if len(stages) > 1:
                console.say(f"stage {number} of {len(stages)}: --freeze {stage.kind}, {stage.recipe.epochs:g} epochs")
            with learning(model, stage.kind, fresh, job.seed):
                for line in table(model, rates(model, stage.recipe, new)):
                    console.say(line)
                passed = passed.then(stage, *_train(job, model, stage, loss, judge, collate, callbacks, probed, new))
            new, probed = (), False
        if ranks.first():
            floating.save_float(model, processor, job.folder / "float", job.folder / TOKENIZER)
    said = processes.once(lambda: _said(job, stages))
    for line in said:
        console.say(line)
    record = {**passed.record, "advice": said, "scores": judge.record(model, "float")}
    job.finish("float", {**record, "wall_s": job.wall_s["float"]})
    for stage in stages:
        checkpoints.forget(job.folder / "checkpoints" / stage.name)
    return model


def _said(job: Job, stages: Sequence[Stage]) -> list[str]:
    """What the course of the last stage advises."""
    lines = [line for line in read_metrics(job.folder / METRICS) if line["phase"] == stages[-1].name]
    return advice(lines, len(job.splits["validation"]))


def _train(
    job: Job,
    model: nn.Module,
    stage: Stage,
    loss: Loss,
    judge: Judge,
    collate: Collate,
    callbacks: Sequence[transformers.TrainerCallback],
    probed: bool,
    new: tuple[str, ...],
) -> tuple[Trained, list[dict[str, str]]]:
    """One stage: on features when the head alone learns, and not at all when the probe is its end already."""
    train, validation = (job.splits[split] for split in ("train", "validation"))
    recipe, subject = stage.recipe, Subject(model, judge, train, collate)
    if probed and not collate.varies and learns_only(model, head_names(model)):
        console.say("nothing but the head learns and examples are not varied: the probe is what training would find")
        recipe = replace(recipe, epochs=0)
    if recipe.epochs > 0:
        views = min(recipe.views, ceil(recipe.epochs))
        alone = on_features(subject, validation, views, job.seed, _inputs(job))
        # Loader processes would only copy features to and fro.
        subject, recipe = (subject, recipe) if alone is None else (alone, replace(recipe, workers=0))
    return floating.fine_tune(
        stage.name, model, recipe, loss, subject, folder=job.folder, seed=job.seed, device=job.device, fresh=new,
        callbacks=callbacks,
    )  # fmt: skip


def _inputs(job: Job) -> dict[str, Any]:
    """What decides how an example becomes tensors."""
    described = {"preprocessing": (job.state.done("prepared") or {})["preprocessing"]}
    tokenizer = job.folder / TOKENIZER
    return {**described, "tokenizer": files.sha256_file(tokenizer)} if tokenizer.is_file() else described


def _start_head(job: Job, model: nn.Module, fresh: tuple[str, ...], judge: Judge, loss: Loss) -> bool:
    """Start a new head of an image model from a linear probe; says whether it could."""
    if job.task.content != "image" or len(fresh) != 1:
        return False
    splits = job.splits
    backbone = Backbone(model, model.get_submodule(fresh[0]), _inputs(job))
    accuracy = start_head(backbone, judge.encoder, splits["train"], splits["validation"], loss)
    if accuracy is None:
        return False
    console.say(f"the new head starts from a linear probe: accuracy {accuracy:.4f} on validation")
    return True
