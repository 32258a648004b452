"""The acts of `edgeft tune`. Each does one thing once: when its record is in the state, it only reads the result."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from edgeft import console, files
from edgeft.data.dataset import Dataset
from edgeft.data.sounds import longest_s
from edgeft.data.splits_record import write_splits
from edgeft.errors import UsageError
from edgeft.quant.choice import Wish
from edgeft.quant.feed import batch_for
from edgeft.recipe import TuneSpec
from edgeft.runfolder import SPLITS
from edgeft.scheme import Scheme
from edgeft.tasks.task import Encoder, Task
from edgeft.tuning import batchsize, floating, processes, qat
from edgeft.tuning.augment import cuts_views, enlarged, variation
from edgeft.tuning.batches import Collate
from edgeft.tuning.batchsize import Step
from edgeft.tuning.few import chosen
from edgeft.tuning.fit import fit_lines, fit_of
from edgeft.tuning.freeze import digest_of, freeze, hash_tensors
from edgeft.tuning.job import Job
from edgeft.tuning.load import Loaded, load
from edgeft.tuning.losses import class_weights, cross_entropy
from edgeft.tuning.preprocessing import (
    audio_preprocessing,
    image_preprocessing,
    text_preprocessing,
    words_preprocessing,
)
from edgeft.tuning.refusals import refuse_untrained
from edgeft.tuning.remembered import Remembered, remembering
from edgeft.tuning.schedule import kinds_and_epochs
from edgeft.tuning.score import SCORED, Judge
from edgeft.tuning.source import Source, find_source
from edgeft.tuning.trainer import Loss


@dataclass(frozen=True)
class Sizes:
    """--image-size in pixels, --max-length in tokens, --audio-seconds (or "free"): what was given of them."""

    image: int | None = None
    tokens: int | None = None
    seconds: float | str | None = None


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


def _load(source: Source, task: Task, dataset: Dataset, seed: int) -> Loaded:
    transformers.set_seed(seed)  # a new head starts from the same values in every run of this seed
    return load(source, task.auto_model, task.content, dataset.labels, trust_remote_code=False)


def load_original(job: Job, given: str, kinds: Sequence[str]) -> tuple[nn.Module, Any]:
    """The model to tune and its processor; RUN/original/ holds it or says where it is.

    kinds   how it is going to be frozen; it comes back frozen as in the last one
    """
    done = job.state.done("original")
    source = Source(**done["source"]) if done else processes.once(lambda: _found(given, job.folder / "original"))
    loaded = _load(source, job.task, job.dataset, job.seed)
    for note in loaded.notes:
        console.say(note)
    _try_kinds(loaded.model, kinds, loaded.fresh)
    if done is None:
        job.finish("original", processes.once(lambda: _keep_original(job.folder / "original", source, loaded)))
    return loaded.model, loaded.processor


def _found(given: str, workspace: Path) -> Source:
    shutil.rmtree(workspace, ignore_errors=True)  # what an earlier call may have left before it failed
    return find_source(given, workspace)


def _keep_original(folder: Path, source: Source, loaded: Loaded) -> dict[str, Any]:
    sha256 = source.sha256 or digest_of(hash_tensors(loaded.model.state_dict()))
    if loaded.answers_task:
        floating.save_float(loaded.model, loaded.processor, folder)
    elif source.place != str(folder):
        files.write_json(folder / "reference.json", {**asdict(source), "sha256": sha256})
    return {"source": asdict(source), "sha256": sha256, "answers": loaded.answers_task, "fresh": list(loaded.fresh)}


def prepare(
    job: Job, model: Any, processor: Any, sizes: Sizes, room: int = 0
) -> tuple[Judge, Encoder]:
    """Write down how examples are encoded and which split each is in; what scores and encodes from here on.

    room   bytes for decoded images that are scored
    """
    done = job.state.done("prepared")
    if done is None:
        done = job.finish("prepared", processes.once(lambda: _described(job, model, processor, sizes)))
    encoder = job.task.encoder(done["preprocessing"], job.folder)
    for split, examples in job.dataset.splits.items():
        job.splits[split] = job.task.queries(examples, encoder)
    scored = (example.content for split in SCORED for example in job.splits[split])
    encoder = remembering(encoder, scored, room)
    judge = Judge(job.task, encoder, job.splits, job.dataset.labels, batch_for(encoder.inputs, job.device))
    return judge, encoder


def _described(job: Job, model: Any, processor: Any, sizes: Sizes) -> dict[str, Any]:
    preprocessing = _describe(job.task, model, processor, job.dataset, sizes, job.folder)
    write_splits(job.folder / SPLITS, job.dataset)
    splits = files.sha256_file(job.folder / SPLITS)
    trial = job.task.encoder(preprocessing, job.folder)
    asked = {split: job.task.queries(examples, trial) for split, examples in job.dataset.splits.items()}
    fit = fit_of(trial, job.dataset, preprocessing, asked)
    for line in fit_lines(fit):
        console.say(line)
    return {"preprocessing": preprocessing, "splits_sha256": splits, "fit": fit}


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
            job.finish("original_scores", judge.record(model.to(job.device), "the original"))


def step_size(job: Job, asked: int | str, model: nn.Module, collate: Collate, loss: Loss) -> Step:
    """--batch-size; "auto" is found once, and a resumed run goes on with it."""
    done = job.state.done("batch_size")
    if done is None:
        step = Step.given(asked)
        if asked == "auto":
            step = batchsize.found(model.to(job.device), job.splits["train"], collate, loss, job.device)
        done = job.finish("batch_size", asdict(step))
        for line in processes.lines(step.examples):
            console.say(line)
    return Step(**done)


def training_side(
    job: Job, encoder: Encoder, augment: str, weights: str, smoothing: float, focal: float = 0.0, room: int = 0
) -> tuple[Collate, Loss]:
    """How training batches are made and varied (see edgeft.policies), and what the float phase minimises.

    room   bytes for decoded images
    """
    description, n_labels = (job.state.done("prepared") or {})["preprocessing"], len(job.dataset.labels)
    if cuts_views(augment):
        encoder = job.task.encoder(enlarged(description), job.folder)
    elif isinstance(encoder, Remembered):  # it remembers what is scored
        encoder = encoder.encoder
    encoder = remembering(encoder, (example.content for example in job.splits["train"]), room)
    balance = class_weights(weights, job.splits["train"], n_labels)
    return Collate(encoder, job.seed, variation(augment, description, n_labels)), cross_entropy(
        balance, smoothing, focal
    )


def check_wish(job: Job, model: nn.Module, scheme: Scheme | None, encoder: Encoder, wish: Wish) -> None:
    """Capture the model before anything is trained, to find layers that --keep-float names and the model lacks."""
    if not wish.patterns or scheme is None or job.state.done("float") is not None:
        return
    try:
        qat.built(model, scheme, encoder, job.splits["train"], wish)
    except UsageError:
        job.state.forget()
        raise
