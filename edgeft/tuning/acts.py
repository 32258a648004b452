"""The acts of `edgeft tune`. Each does one thing once: when its record is in the state, it only reads the result."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from edgeft import console, files
from edgeft.contents import MANY
from edgeft.data.dataset import Dataset
from edgeft.data.sounds import longest_s
from edgeft.data.splits_record import write_splits
from edgeft.errors import UsageError
from edgeft.options import spelled
from edgeft.quant import engine, store
from edgeft.quant.calibration import calibrate_on
from edgeft.quant.choice import CHECKED, Wish, automatic
from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import batch_for, draw
from edgeft.quant.held import held, score_of
from edgeft.quant.raising import refuse_raise
from edgeft.recipe import TuneSpec
from edgeft.runfolder import SPLITS
from edgeft.scheme import Scheme
from edgeft.tasks.task import Encoder, Task
from edgeft.tuning import floating, qat
from edgeft.tuning.advice import advice
from edgeft.tuning.architecture import head_names
from edgeft.tuning.augment import cuts_views, enlarged, variation
from edgeft.tuning.batches import Collate
from edgeft.tuning.better import Choice, better
from edgeft.tuning.features import Features
from edgeft.tuning.few import chosen
from edgeft.tuning.fit import fit_lines, fit_of
from edgeft.tuning.freeze import digest_of, freeze, hash_tensors, learning, learns_only, prove_unchanged
from edgeft.tuning.frozen import Backbone, Subject, on_features
from edgeft.tuning.job import Job
from edgeft.tuning.load import Loaded, load
from edgeft.tuning.losses import class_weights, cross_entropy, distillation
from edgeft.tuning.parts import table
from edgeft.tuning.preprocessing import (
    audio_preprocessing,
    image_preprocessing,
    text_preprocessing,
    words_preprocessing,
)
from edgeft.tuning.probe import start_head
from edgeft.tuning.rates import rates
from edgeft.tuning.schedule import Passed, Stage, kinds_and_epochs
from edgeft.tuning.score import Judge
from edgeft.tuning.source import Source, find_source
from edgeft.tuning.trainer import Loss, Recipe, Trained
from edgeft.tuning.watch import METRICS, read_metrics

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Sizes:
    """--image-size in pixels, --max-length in tokens, --audio-seconds (or "free"): what was given of them."""

    image: int | None = None
    tokens: int | None = None
    seconds: float | str | None = None


# quantization.md section 9: calibrated 8-bit models lose 0.3 to 3 points where their grids fit.
_MUCH_LOST = 0.05


def refuse_place(output: Path, data: str) -> None:
    """A run among the examples would be read as a class of them the next time."""
    folder = Path(data).expanduser()
    if folder.is_dir() and folder.resolve() in (Path(output).resolve(), *Path(output).resolve().parents):
        raise UsageError(f"--output {output} lies inside --data {data}", "choose a folder outside it")
    files.refuse_unwritable(Path(output))


def refuse_idle(wish: Wish, scheme: Scheme | None) -> None:
    if wish and scheme is None:
        raise UsageError("--keep-float has no meaning without quantization", "leave it out, or choose a --scheme")
    if wish.wide and scheme is not None:
        refuse_raise(scheme)


def refuse_untrained(epochs: float, fresh: Sequence[str]) -> None:
    if epochs == 0 and fresh:
        raise UsageError(f"--epochs 0 would leave {fresh[0]} with random weights", "give at least one epoch")


def rehearse(spec: TuneSpec, task: Task, dataset: Dataset, scheme: Scheme | None, wish: Wish) -> Loaded:
    """The model, for --dry-run; nothing stays on the disk.

    Raises what the real run would before it trains.
    """
    epochs = chosen(spec, dataset).epochs
    with tempfile.TemporaryDirectory() as workspace:
        folder = Path(workspace)
        loaded = _load(find_source(spec.model, folder / "original"), task, dataset, spec.seed)
        refuse_untrained(epochs, loaded.fresh)
        _try_kinds(loaded.model, [kind for kind, _ in kinds_and_epochs(spec.freeze, epochs)], loaded.fresh)
        sizes = Sizes(spec.image_size, spec.max_length, spec.audio_seconds)
        described = _describe(task, loaded.model, loaded.processor, dataset, sizes, folder)
        if wish.patterns and scheme is not None:
            qat.built(loaded.model, scheme, task.encoder(described, folder), dataset.splits["train"], wish)
    return loaded


def _try_kinds(model: nn.Module, kinds: Sequence[str], fresh: tuple[str, ...]) -> None:
    """Freeze the model in every way that is going to be used, since one that cannot be is better known at once."""
    for kind in kinds:
        freeze(model, kind, fresh)


# Options that have an effect on examples of some kinds only; the first of them is who they are for.
_FOR: Mapping[str, tuple[str, ...]] = {
    "image_size": ("image",),
    "max_length": ("text", "words"),
    "audio_seconds": ("audio",),
    "text_column": ("text", "words", "audio"),
    "label_column": ("text", "words", "audio"),
}


def refuse_foreign(content: str, spec: TuneSpec) -> None:
    """Options for examples of another kind than `content` have no effect.

    Raises UsageError for the first that was given.
    """
    for name, kinds in _FOR.items():
        if content not in kinds and getattr(spec, name) is not None:
            raise UsageError(
                f"--{spelled(name)} is for {MANY[kinds[0]]}, and the examples are {MANY[content]}", "leave it out"
            )


def refuse_unsampled(sampling: str, task: Task) -> None:
    if sampling == "balanced" and task.target != "label":
        raise UsageError(
            f"--sampling {sampling} draws examples by their class, and a sentence has as many as it has words",
            "leave it out; --class-weights balanced weighs the words' tags",
        )


def _load(source: Source, task: Task, dataset: Dataset, seed: int) -> Loaded:
    transformers.set_seed(seed)  # a new head starts from the same values in every run of this seed
    return load(source, task.auto_model, task.content, dataset.labels, trust_remote_code=False)


def load_original(job: Job, given: str, kinds: Sequence[str]) -> tuple[nn.Module, Any]:
    """The model to tune and its processor; RUN/original/ holds it or says where it is.

    kinds   how it is going to be frozen; it comes back frozen as in the last one
    """
    done = job.state.done("original")
    if done is None:  # what an earlier call may have left before it failed
        shutil.rmtree(job.folder / "original", ignore_errors=True)
    source = Source(**done["source"]) if done else find_source(given, job.folder / "original")
    loaded = _load(source, job.task, job.dataset, job.seed)
    for note in loaded.notes:
        console.say(note)
    _try_kinds(loaded.model, kinds, loaded.fresh)
    if done is None:
        sha256 = source.sha256 or digest_of(hash_tensors(loaded.model.state_dict()))
        if loaded.answers_task:
            floating.save_float(loaded.model, loaded.processor, job.folder / "original")
        elif source.place != str(job.folder / "original"):
            files.write_json(job.folder / "original" / "reference.json", {**asdict(source), "sha256": sha256})
        job.state.finish(
            "original",
            {"source": asdict(source), "sha256": sha256, "answers": loaded.answers_task, "fresh": list(loaded.fresh)},
        )
    return loaded.model, loaded.processor


def prepare(
    job: Job, model: Any, processor: Any, sizes: Sizes
) -> tuple[Judge, Encoder]:
    """Write down how examples are encoded and which split each is in; what scores and encodes from here on."""
    done = job.state.done("prepared")
    if done is None:
        preprocessing = _describe(job.task, model, processor, job.dataset, sizes, job.folder)
        write_splits(job.folder / SPLITS, job.dataset)
        splits = files.sha256_file(job.folder / SPLITS)
        trial = job.task.encoder(preprocessing, job.folder)
        asked = {split: job.task.queries(examples, trial) for split, examples in job.dataset.splits.items()}
        fit = fit_of(trial, job.dataset, preprocessing, asked)
        for line in fit_lines(fit):
            console.say(line)
        done = job.state.finish("prepared", {"preprocessing": preprocessing, "splits_sha256": splits, "fit": fit})
    encoder = job.task.encoder(done["preprocessing"], job.folder)
    for split, examples in job.dataset.splits.items():
        job.splits[split] = job.task.queries(examples, encoder)
    judge = Judge(job.task, encoder, job.splits, job.dataset.labels, batch_for(encoder.inputs, job.device))
    return judge, encoder


def _describe(
    task: Task, model: Any, processor: Any, dataset: Dataset, sizes: Sizes, folder: Path
) -> dict[str, Any]:
    """How examples become tensors; a text's tokenizer is written to `folder`."""
    describe: Mapping[str, Callable[[], dict[str, Any]]] = {
        "image": lambda: image_preprocessing(processor, sizes.image),
        "text": lambda: text_preprocessing(processor, model.config, sizes.tokens, folder),
        "words": lambda: words_preprocessing(processor, model, sizes.tokens, folder),
        "audio": lambda: audio_preprocessing(processor, model, sizes.seconds, longest_s(dataset)),
    }
    return describe[task.content]()


def score_original(job: Job, judge: Judge, model: nn.Module) -> None:
    """Score the model as given, when its classes are the data's."""
    original = job.state.done("original")
    if original and original["answers"] and job.state.done("original_scores") is None:
        with job.timed("score"):
            job.state.finish("original_scores", judge.record(model.to(job.device), "the original"))


def training_side(
    job: Job, encoder: Encoder, augment: str, weights: str, smoothing: float, focal: float = 0.0
) -> tuple[Collate, Loss]:
    """How training batches are made and varied (see edgeft.policies), and what the float phase minimises."""
    description, n_labels = (job.state.done("prepared") or {})["preprocessing"], len(job.dataset.labels)
    if cuts_views(augment):
        encoder = job.task.encoder(enlarged(description), job.folder)
    balance = class_weights(weights, job.splits["train"], n_labels)
    return Collate(encoder, job.seed, variation(augment, description, n_labels)), cross_entropy(
        balance, smoothing, focal
    )


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
        floating.save_float(model, processor, job.folder / "float", job.folder / TOKENIZER)
    lines = [line for line in read_metrics(job.folder / METRICS) if line["phase"] == stages[-1].name]
    said = advice(lines, len(job.splits["validation"]))
    for line in said:
        console.say(line)
    record = {**passed.record, "advice": said, "scores": judge.record(model, "float")}
    job.state.finish("float", {**record, "wall_s": job.wall_s["float"]})
    for stage in stages:
        _forget_checkpoints(job, stage.name)
    return model


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


def check_wish(job: Job, model: nn.Module, scheme: Scheme | None, encoder: Encoder, wish: Wish) -> None:
    """Capture the model before anything is trained, to find layers that --keep-float names and the model lacks."""
    if not wish.patterns or scheme is None or job.state.done("float") is not None:
        return
    try:
        qat.built(model, scheme, encoder, job.splits["train"], wish)
    except UsageError:
        job.state.forget()
        raise


def calibrate(
    job: Job, model: nn.Module, scheme: Scheme, encoder: Encoder, judge: Judge, n: int, method: str, wish: Wish
) -> QuantModel:
    """The quantized graph with calibrated ranges and chosen layers in float, saved as "calibrated" and scored as `ptq`.

    n, method  how many training examples ranges are set on, and how
    """
    folder, train = job.folder / "quantized", job.splits["train"]
    if job.state.done("ptq") is not None:
        quantized = engine.build(model, encoder.inputs, qat.example(encoder, train, job.device), scheme)
        store.load_state(quantized, folder, "calibrated")
        return quantized.to(job.device)
    with job.timed("calibrate"):
        quantized, calibration = qat.calibrated_model(model, scheme, encoder, train, n, job.seed, method, wish)
        record: dict[str, Any] = {}
        if wish.limit is not None:
            tried = held(encoder, job.splits["validation"], CHECKED, job.seed, job.device)
            found = automatic(quantized, wish, tried, score_of(job.task, job.dataset.labels, tried))
            record["auto"] = dict(found.record)
            wish.grant(quantized, found.reasons)
            calibrate_on(quantized, encoder, draw(train, n, [job.seed, 1]), method)
        qat.save_calibrated(quantized, calibration, folder)
    record |= {"scores": judge.record(quantized, "ptq"), "wall_s": job.wall_s["calibrate"]}
    _warn_of_loss(judge.metric, (job.state.done("float") or {})["scores"], record["scores"])
    job.state.finish("ptq", record)
    return quantized


def _warn_of_loss(metric: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Say it when rounding alone costs more than training for the grid usually wins back."""
    lost = before["validation"]["value"] - after["validation"]["value"]
    if lost > _MUCH_LOST:
        console.warn(
            f"calibration alone loses {lost * 100:.1f} points of {metric} on validation: some layer does not fit the "
            "grid; edgeft export --sensitivity names it, and --keep-float leaves it float"
        )


def quantized_phase(
    job: Job,
    teacher: nn.Module,
    quantized: QuantModel,
    recipe: Recipe,
    asked_precision: str,
    judge: Judge,
    collate: Collate,
    weights: str,
    learn_ranges: float,
    feature_share: float,
) -> None:
    """Train the quantized graph against the float model; keep whichever of calibrated and trained is better."""
    if job.state.done("quantized") is not None:
        return
    folder, train = job.folder / "quantized", job.splits["train"]
    before = (job.state.done("ptq") or {})["scores"]
    if recipe.epochs == 0:
        job.state.finish("quantized", {"kept": "calibrated", "best_epoch": 0.0, "scores": before, "wall_s": 0.0})
        return
    if asked_precision != "fp32":
        console.say(f"the quantization-aware phase computes in fp32; {asked_precision} was for the float phase only")
    balance = class_weights(weights, train, len(job.dataset.labels))
    frozen = {name: p.data for name, p in quantized.named_parameters() if not p.requires_grad}
    hashes = hash_tensors(frozen)
    features = Features(teacher, quantized, feature_share) if feature_share else None
    with job.timed("quantized"):
        calibrated = judge.logits(quantized, "validation")
        trained = qat.train_quantized(
            quantized, recipe, distillation(teacher, balance, features), judge, train, collate,
            folder=job.folder, seed=job.seed, device=job.device, learn_ranges=learn_ranges,
        )  # fmt: skip
    prove_unchanged(hashes, hash_tensors({name: p.data for name, p in quantized.named_parameters() if name in frozen}))
    after = judge.logits(quantized, "validation")
    choice = better(
        judge.logits(teacher, "validation"), calibrated, after, judge.labels("validation"),
        judge.resampled(calibrated, after, "validation"),
    )  # fmt: skip
    kept = choice.kept
    _say_choice(choice)
    if kept == "trained":
        qat.save_trained(quantized, folder)
    scores = judge.record(quantized, "quantized") if kept == "trained" else before
    record = {"kept": kept, "losses": choice.record, "best_epoch": trained.best_epoch, "steps": trained.steps}
    job.state.finish("quantized", {**record, "scores": scores, "wall_s": job.wall_s["quantized"]})
    _forget_checkpoints(job, qat.PHASE)


def _say_choice(choice: Choice) -> None:
    if choice.kept == "trained":
        console.say(f"the quantization-aware model is kept ({choice.line()})")
    elif choice.told_apart:
        console.warn(
            f"quantization-aware training made the model worse, so the calibrated one is kept ({choice.line()})"
        )
    else:
        console.say(f"quantization-aware training brought nothing, so the calibrated model is kept ({choice.line()})")


def _forget_checkpoints(job: Job, phase: str) -> None:
    """A finished phase is read from its own folder; its checkpoints would only fill the disk."""
    shutil.rmtree(job.folder / "checkpoints" / phase, ignore_errors=True)
