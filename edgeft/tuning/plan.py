"""What a run is going to do, in lines; --dry-run prints them and does nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft.data.dataset import Dataset
from edgeft.data.targets import TARGETS
from edgeft.tasks.task import Task
from edgeft.tuning.classes import class_errors
from edgeft.tuning.freeze import learning
from edgeft.tuning.load import Loaded
from edgeft.tuning.parts import table
from edgeft.tuning.rates import rates
from edgeft.tuning.schedule import Stage
from edgeft.tuning.target import Target
from edgeft.tuning.trainer import Recipe


def data_lines(dataset: Dataset) -> list[str]:
    """Where the examples are from, and what the reader noticed: how many, of how many classes, how they were split."""
    return [f"data: {dataset.source}", *(f"  {notice}" for notice in dataset.notices), *class_lines(dataset)]


def class_lines(dataset: Dataset) -> list[str]:
    """How many examples each class has in each split, the smallest classes of train first; of many only some."""
    found, kind = counts(dataset), TARGETS[dataset.target]
    order = sorted(kind.classes(dataset.labels), key=lambda name: found["train"][name])
    shown = order if len(order) <= _CLASSES_SHOWN else order[: _CLASSES_SHOWN // 2]
    width = max(len(kind.one), *(len(name) for name in shown))
    lines = [f"  {kind.one:<{width}}" + "".join(f"{split:>12}" for split in found)]
    lines += [f"  {name:<{width}}" + "".join(f"{found[split][name]:>12,}" for split in found) for name in shown]
    rest = order[len(shown) :]
    if rest:
        least, most = found["train"][rest[0]], found["train"][rest[-1]]
        lines.append(f"  and {len(rest)} {kind.many} more, of {least:,} to {most:,} in train")
    return lines


_CLASSES_SHOWN = 12


def counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """split -> label name -> number of examples, or entity type -> number of entities; those without any count 0."""
    kind = TARGETS[dataset.target]
    return {
        split: dict(kind.count((example.label for example in examples), dataset.labels))
        for split, examples in dataset.splits.items()
    }


def plan_lines(
    task: Task, dataset: Dataset, loaded: Loaded, target: Target, stages: Sequence[Stage], qat: Recipe, output: Path
) -> list[str]:
    """The whole plan: data, model, what learns, how it is trained, quantized and written."""
    n = len(dataset.splits["train"])
    return [
        f"task: {task.name}, measured by {task.metric}",
        *data_lines(dataset),
        *(line for number, stage in enumerate(stages) for line in _stage(loaded, stage, number, n)),
        _quantization(target, qat, n),
        f"writes: {output}/ tuned.json, metrics.jsonl, curves.png, confusion.png, splits.jsonl, README.md, "
        "original/, float/" + (", quantized/" if target.scheme else ""),
    ]


def _stage(loaded: Loaded, stage: Stage, number: int, n: int) -> list[str]:
    """Which parts learn in a stage, and how it is trained."""
    new = () if number else loaded.fresh
    with learning(loaded.model, stage.kind, loaded.fresh, 0):
        parts = table(loaded.model, rates(loaded.model, stage.recipe, new))
    return [*parts, f"{stage.name}: {_training(stage.recipe, n)}, arithmetic {stage.recipe.precision}"]


def _training(recipe: Recipe, n: int) -> str:
    if recipe.epochs == 0:
        return "no training"
    steps = f"{recipe.steps(n):,} steps of {recipe.batch_size}"
    return f"{recipe.epochs:g} epochs, {steps}, peak learning rate {recipe.lr:g}"


def _quantization(target: Target, qat: Recipe, n: int) -> str:
    if target.scheme is None:
        return "quantization: none (plain fine-tuning)"
    return f"quantization: {target.scheme.title} for {target.profile or 'no profile'}; {_training(qat, n)}, fp32"


def result_lines(metric: str, document: Mapping[str, Any]) -> list[str]:
    """The scores of every state of the model as a small table, then the classes that the last one gets wrong."""
    lines = [f"{metric:<12}{'validation':>12}{'test':>10}"]
    for name, found in document["scores"].items():
        lines.append(f"{name:<12}{found['validation']['value']:>12.4f}{found['test']['value']:>10.4f}")
    name, classes = list(document["classes"].items())[-1]
    apart = document["scores"][name]["test"].get("slices", {})
    return [*lines, *class_errors(f"{name} on test", classes["test"]), *slice_lines(f"{name} on test", apart)]


def slice_lines(title: str, found: Mapping[str, Any]) -> list[str]:
    """The slices with the fewest right answers, with their intervals; nothing without slices."""
    if not found:
        return []
    order = sorted(found, key=lambda part: found[part]["right"])[:_SLICES_SHOWN]
    width = max(len(part) for part in order)
    more = f", the {len(order)} worst of {len(found)} slices" if len(found) > len(order) else " by slice"
    return [
        f"{title}{more}: share of right answers and its 95 % interval",
        *(f"  {part:<{width}}{found[part]['n']:>8,}  {found[part]['right']:.4f}  "
          f"[{found[part]['ci95'][0]:.4f}, {found[part]['ci95'][1]:.4f}]" for part in order),
    ]  # fmt: skip


_SLICES_SHOWN = 10
