"""Gradual unfreezing: which parts keep still for how long (Howard and Ruder, arXiv 1801.06146, section 3.3).

`backbone:1,last:2:1,none` trains the head for one epoch, the last two blocks and the head for another, and everything
for what is left of --epochs. Every stage is a training of its own: it rises to its own learning rate, and hands on the
weights of its best epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeft.errors import UsageError
from edgeft.tuning.adapters import ALPHA, RANK, is_merged_into, plain_name
from edgeft.tuning.freeze import digest_of
from edgeft.tuning.trainer import Recipe, Trained


@dataclass(frozen=True)
class Stage:
    """One stretch of the float phase: what keeps still (a kind of edgeft.tuning.freeze), and how the rest is trained.

    name   of the stage in metrics.jsonl, and of its checkpoints
    """

    name: str
    kind: str
    recipe: Recipe


def kinds_and_epochs(freeze: str, epochs: float) -> list[tuple[str, float]]:
    """(kind, epochs) of every stage of --freeze; the last one takes what the others leave of `epochs`.

    Raises UsageError when they leave nothing, or a stage has no epochs.
    """
    if freeze.startswith("regex:"):
        return [(freeze, epochs)]
    *earlier, last = freeze.split(",")
    pairs = [step.rpartition(":") for step in earlier]
    stages = [(kind, float(given)) for kind, _, given in pairs]
    left = epochs - sum(given for _, given in stages)
    if stages and (left <= 0 or min(given for _, given in stages) <= 0):
        taken = sum(given for _, given in stages)
        raise UsageError(
            f"--freeze {freeze} takes {taken:g} epochs before its last stage, and --epochs is {epochs:g}",
            f"give more than {taken:g} --epochs, and every stage some of them",
        )
    return [*stages, (last, left)]


def stages(steps: Sequence[tuple[str, float]], rates: Sequence[float], recipe: Recipe) -> list[Stage]:
    """The stages of (kind, epochs) at these peak rates, in all else trained by `recipe`. One alone is "float"."""
    names = ["float"] if len(steps) == 1 else [f"float-{number}" for number in range(1, len(steps) + 1)]
    return [
        Stage(name, kind, replace(recipe, epochs=epochs, lr=rate))
        for name, (kind, epochs), rate in zip(names, steps, rates, strict=True)
    ]


@dataclass(frozen=True)
class Passed:
    """What the stages so far came to, for the record of the float phase.

    frozen   tensors that kept still in all of them and are in the model now as they were before: name -> hashes
    """

    epochs: float = 0.0
    best_epoch: float = 0.0
    steps: int = 0
    stages: tuple[Mapping[str, Any], ...] = ()
    frozen: Mapping[str, Mapping[str, str]] | None = None

    def then(self, stage: Stage, trained: Trained, still: Sequence[Mapping[str, str]]) -> Passed:
        """With one stage more, of which `still` are the tensors that were frozen, with their hashes."""
        now = {plain_name(e["name"]): e for e in still if not is_merged_into(e["name"])}
        before = now if self.frozen is None else self.frozen
        frozen = {
            name: {"name": name, "sha256_before": entry["sha256_before"], "sha256_after": now[name]["sha256_after"]}
            for name, entry in before.items() if name in now
        }  # fmt: skip
        return Passed(
            epochs=self.epochs + stage.recipe.epochs,
            best_epoch=self.epochs + trained.best_epoch if trained.best_epoch else self.best_epoch,
            steps=self.steps + trained.steps,
            stages=(*self.stages, _record(stage, trained, still)),
            frozen=frozen,
        )

    @property
    def record(self) -> dict[str, Any]:
        frozen = list((self.frozen or {}).values())
        return {"best_epoch": self.best_epoch, "steps": self.steps, "frozen": frozen, "stages": list(self.stages)}


def _record(stage: Stage, trained: Trained, still: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """One stage, with one hash over all tensors that were frozen in it: the same before and after training."""
    merged = [plain_name(entry["name"]) for entry in still if is_merged_into(entry["name"])]
    return {
        "freeze": stage.kind,
        "epochs": stage.recipe.epochs,
        "lr": stage.recipe.lr,
        "best_epoch": trained.best_epoch,
        "validation": trained.best_value,
        "frozen_tensors": len(still),
        "frozen_sha256": digest_of({plain_name(entry["name"]): entry["sha256_after"] for entry in still}),
        **({"lora": {"rank": RANK, "alpha": ALPHA, "merged_into": merged}} if merged else {}),
    }
