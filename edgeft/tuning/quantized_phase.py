"""The last phases of a run: ranges calibrated, the quantized graph trained, and the better of the two kept."""

from __future__ import annotations

from typing import Any

from torch import nn

from edgeft import console, ranks
from edgeft.quant import engine, store
from edgeft.quant.calibration import calibrate_on
from edgeft.quant.choice import CHECKED, Wish, automatic
from edgeft.quant.engine import QuantModel
from edgeft.quant.feed import draw
from edgeft.quant.held import held, score_of
from edgeft.scheme import Scheme
from edgeft.tasks.task import Encoder
from edgeft.tuning import checkpoints, processes, qat
from edgeft.tuning.batches import Collate
from edgeft.tuning.better import Choice, better
from edgeft.tuning.features import Features
from edgeft.tuning.freeze import hash_tensors, prove_unchanged
from edgeft.tuning.job import Job
from edgeft.tuning.losses import class_weights, distillation
from edgeft.tuning.score import Judge
from edgeft.tuning.trainer import Recipe

# quantization.md section 9: calibrated 8-bit models lose 0.3 to 3 points where their grids fit.
_MUCH_LOST = 0.05


def calibrate(
    job: Job, model: nn.Module, scheme: Scheme, encoder: Encoder, judge: Judge, n: int, method: str, wish: Wish
) -> QuantModel:
    """The quantized graph with calibrated ranges and chosen layers in float, saved as "calibrated" and scored as `ptq`.

    n, method  how many training examples ranges are set on, and how
    """
    folder, train = job.folder / "quantized", job.splits["train"]

    def stored() -> QuantModel:
        quantized = engine.build(model, encoder.inputs, qat.example(encoder, train, job.device), scheme)
        store.load_state(quantized, folder, "calibrated")
        return quantized.to(job.device)

    if job.state.done("ptq") is not None:
        return stored()
    with job.timed("calibrate"):
        # The first process calibrates, and the others read what it wrote, as a resumed run does.
        if ranks.first():
            quantized, record = _calibrated(job, model, scheme, encoder, n, method, wish)
        processes.wait()
        if not ranks.first():
            quantized, record = stored(), {}
    record |= {"scores": judge.record(quantized, "ptq"), "wall_s": job.wall_s["calibrate"]}
    _warn_of_loss(judge.metric, (job.state.done("float") or {})["scores"], record["scores"])
    job.finish("ptq", record)
    return quantized


def _calibrated(
    job: Job, model: nn.Module, scheme: Scheme, encoder: Encoder, n: int, method: str, wish: Wish
) -> tuple[QuantModel, dict[str, Any]]:
    """The graph with its ranges, saved, and the record of an automatic choice of layers that stay float."""
    train = job.splits["train"]
    quantized, calibration = qat.calibrated_model(model, scheme, encoder, train, n, job.seed, method, wish)
    record: dict[str, Any] = {}
    if wish.limit is not None:
        tried = held(encoder, job.splits["validation"], CHECKED, job.seed, job.device)
        found = automatic(quantized, wish, tried, score_of(job.task, job.dataset.labels, tried))
        record["auto"] = dict(found.record)
        wish.grant(quantized, found.reasons)
        calibrate_on(quantized, encoder, draw(train, n, [job.seed, 1]), method)
    qat.save_calibrated(quantized, calibration, job.folder / "quantized")
    return quantized, record


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
        job.finish("quantized", {"kept": "calibrated", "best_epoch": 0.0, "scores": before, "wall_s": 0.0})
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
    if kept == "trained" and ranks.first():
        qat.save_trained(quantized, folder)
    scores = judge.record(quantized, "quantized") if kept == "trained" else before
    record = {"kept": kept, "losses": choice.record, "best_epoch": trained.best_epoch, "steps": trained.steps}
    job.finish("quantized", {**record, "scores": scores, "wall_s": job.wall_s["quantized"]})
    checkpoints.forget(job.folder / "checkpoints" / qat.PHASE)


def _say_choice(choice: Choice) -> None:
    if choice.kept == "trained":
        console.say(f"the quantization-aware model is kept ({choice.line()})")
    elif choice.told_apart:
        console.warn(
            f"quantization-aware training made the model worse, so the calibrated one is kept ({choice.line()})"
        )
    else:
        console.say(f"quantization-aware training brought nothing, so the calibrated model is kept ({choice.line()})")
