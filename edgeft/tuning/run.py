"""`edgeft tune`: data -> model -> freeze -> float phase -> calibrate -> quantization-aware phase -> RUN/.

Every act leaves its files and then its record in RUN/state.json; a run that was interrupted goes on after the last
one it finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from torch import nn
from transformers import TrainerCallback

from edgeft import console, policies
from edgeft.budget import Limit
from edgeft.data.dataset import Dataset
from edgeft.data.read import read_dataset
from edgeft.quant.choice import read_wish
from edgeft.recipe import TuneSpec, as_settings
from edgeft.runfolder import Run
from edgeft.tuning import acts, constraints, defaults, processes, refusals, repeats, study
from edgeft.tuning.batchsize import Step
from edgeft.tuning.document import finish
from edgeft.tuning.few import chosen, few_lines
from edgeft.tuning.float_phase import float_phase
from edgeft.tuning.freeze import refuse_missing
from edgeft.tuning.job import Job
from edgeft.tuning.joules import metered
from edgeft.tuning.load import quiet_transformers
from edgeft.tuning.plan import data_lines, plan_lines, result_lines
from edgeft.tuning.qat import qat_recipe
from edgeft.tuning.quantized_phase import calibrate, quantized_phase
from edgeft.tuning.remembered import room_for_images
from edgeft.tuning.schedule import Stage, kinds_and_epochs, stages
from edgeft.tuning.search import search
from edgeft.tuning.space import space
from edgeft.tuning.target import find_target, find_task
from edgeft.tuning.trainer import Recipe


def tune(spec: TuneSpec) -> Run | None:
    """Tune as `spec` says, once or in the trials of a search, and return the run; None after --dry-run.

    Raises what edgeft.errors lists; after any of them, or Ctrl-C, `--resume` goes on. Started by torchrun or
    `accelerate launch`, the processes do it together (edgeft.tuning.processes).
    """
    refusals.refuse_alone(spec)
    with processes.joined():
        return _tune(spec)


def _tune(spec: TuneSpec) -> Run | None:
    refusals.refuse_place(spec.output, spec.data)
    repeats.refuse_both(spec)
    refuse_missing(kind for kind, _ in kinds_and_epochs(spec.freeze, spec.epochs or math.inf))
    limits: tuple[Limit, ...] = ()
    if spec.search:
        study.refuse_missing()
        spec, limits = constraints.split(spec)
    quiet_transformers()
    # both refuse what is wrong before all examples are read
    target, _ = find_target(spec.profile, spec.scheme), defaults.device(spec.device)
    dataset = _read(spec, spec.seed)
    if spec.repeats > 1 and not spec.dry_run:
        return repeats.repeat(spec, dataset, lambda seed: _read(spec, seed, image_check=False), tune_on)
    if not spec.search:
        return tune_on(spec, dataset)
    task = find_task(spec.task, dataset)
    wish = read_wish(spec.keep_float, spec.budget, spec.raise_)
    model = acts.rehearse(spec, task, dataset, target.scheme, wish).model
    tried = space(spec, model, task.content, target.scheme is not None, len(dataset.splits["train"]))
    if spec.dry_run:
        tune_on(spec, dataset)
        kept = f", keeping to {', '.join(limit.text for limit in limits)}" if limits else ""
        console.result(f"search: {spec.search} trials of {', '.join(tried)}{kept}")
        return None
    for line in data_lines(dataset):
        console.say(line)
    return search(spec, dataset, tried, tune_on, limits)


def _read(spec: TuneSpec, seed: int, image_check: bool = True) -> Dataset:
    return processes.once(
        lambda: read_dataset(
            spec.data,
            seed=seed,
            text_column=spec.text_column,
            label_column=spec.label_column,
            group_column=spec.group_column,
            slice_column=spec.slice_column,
            image_check=image_check,
        )
    )


def tune_on(spec: TuneSpec, dataset: Dataset, callbacks: Sequence[TrainerCallback] = ()) -> Run | None:
    """One run on examples that were read and checked.

    callbacks   look on in the float phase, and may end it
    """
    settings = chosen(spec, dataset)
    steps = kinds_and_epochs(spec.freeze, settings.epochs)
    kinds = [kind for kind, _ in steps]
    device = defaults.device(spec.device)
    target = find_target(spec.profile, spec.scheme)
    task = find_task(spec.task, dataset)
    refusals.refuse_foreign(task.content, spec)
    refusals.refuse_unsampled(spec.sampling, task)
    policies.refuse_foreign(spec.augment, task.content)
    augment = spec.augment or policies.usual(task.content)
    float_precision = defaults.precision(spec.precision, device)
    workers, tracker = defaults.workers(spec.workers, device), defaults.tracker(spec.report_to)
    wish = read_wish(spec.keep_float, spec.budget, spec.raise_)
    refusals.refuse_idle(wish, target.scheme)

    def stages_for(model: nn.Module, step: Step) -> list[Stage]:
        recipe = Recipe(
            epochs=settings.epochs,
            batch_size=step.examples,
            parts=step.parts,
            lr=0.0,
            weight_decay=spec.weight_decay,
            layer_decay=spec.layer_decay,
            balanced=spec.sampling == "balanced",
            precision=float_precision,
            patience=spec.patience,
            workers=workers,
            report_to=tracker,
            views=settings.views,
        )
        rates = [step.rate * defaults.learning_rate(spec.lr, kind, model) for kind in kinds]
        return stages(steps, rates, recipe)

    def quantized_recipe(step: Step) -> Recipe:
        return qat_recipe(spec.qat_epochs, step, workers, tracker, spec.qat_lr)

    if spec.dry_run:
        Job.look(spec.output, as_settings(spec), spec.resume, dataset)
        loaded = acts.rehearse(spec, task, dataset, target.scheme, wish)
        for line in few_lines(spec, dataset):
            console.result(line)
        usual = Step.given(spec.batch_size)
        planned = stages_for(loaded.model, usual)
        for line in plan_lines(task, dataset, loaded, target, planned, quantized_recipe(usual), spec.output):
            console.result(line)
        return None

    job = Job.begin(spec.output, as_settings(spec), spec.resume, task, dataset, device, spec.seed)
    if job.finished:
        console.say(f"{spec.output} is complete; nothing to do")
        return Run.open(spec.output)
    for line in [*data_lines(dataset), *few_lines(spec, dataset)]:
        console.say(line)

    with metered(device, resumed=job.state.done("original") is not None) as energy:
        model, processor = acts.load_original(job, spec.model, kinds)
        room = room_for_images(spec.image_cache)
        sizes = acts.Sizes(spec.image_size, spec.max_length, spec.audio_seconds)
        judge, encoder = acts.prepare(job, model, processor, sizes, room.scored)
        acts.check_wish(job, model, target.scheme, encoder, wish)
        acts.score_original(job, judge, model)
        collate, loss = acts.training_side(
            job, encoder, augment, spec.class_weights, defaults.label_smoothing(spec.label_smoothing, task.content),
            spec.focal, room.trained,
        )  # fmt: skip
        step = acts.step_size(job, spec.batch_size, model, collate, loss)
        model = float_phase(job, model, processor, stages_for(model, step), loss, judge, collate, callbacks)
        if target.scheme is not None:
            quantized = calibrate(
                job, model, target.scheme, encoder, judge, spec.calibration_samples, spec.calibration, wish
            )
            quantized_phase(
                job, model, quantized, quantized_recipe(step), float_precision, judge, collate, spec.class_weights,
                spec.learn_ranges, spec.feature_loss,
            )  # fmt: skip
    run = processes.once(lambda: finish(job, target, asdict(settings), energy))
    for line in result_lines(task.metric, run.document):
        console.say(line)
    return run
