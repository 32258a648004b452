"""What a run chooses when nobody said, and what it chooses instead where a class has few examples.

With 8 to 64 examples a class an epoch is a handful of steps: more of them are taken, and the head of a frozen backbone
sees more views of each example (docs/decisions/013 has the figures, also of what made no difference).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeft.data.dataset import Dataset
from edgeft.options import spelled
from edgeft.recipe import TuneSpec

# Examples a class in train, on average, up to which they are few.
FEW = 64


@dataclass(frozen=True)
class Chosen:
    """Settings of edgeft.recipe.TuneSpec whose value depends on the examples when nobody gave it."""

    epochs: float
    views: int


_ENOUGH = Chosen(epochs=3.0, views=4)
_FEW = Chosen(epochs=20.0, views=16)
# Steps of 32 examples after which more passes bring no more: with many classes few examples of each are many in all.
_STEPS, _BATCH = 300, 32


def examples_a_class(dataset: Dataset) -> float:
    return len(dataset.splits["train"]) / len(dataset.labels)


def chosen(spec: TuneSpec, dataset: Dataset) -> Chosen:
    """What `spec` gives, and for the rest what suits the number of examples."""
    names = [each.name for each in dataclasses.fields(Chosen)]
    given = {name: getattr(spec, name) for name in names if getattr(spec, name) is not None}
    return dataclasses.replace(_by_number(dataset), **given)


def _are_few(dataset: Dataset) -> bool:
    return examples_a_class(dataset) <= FEW


def _by_number(dataset: Dataset) -> Chosen:
    if not _are_few(dataset):
        return _ENOUGH
    epochs = math.ceil(_STEPS * _BATCH / len(dataset.splits["train"]))
    return dataclasses.replace(_FEW, epochs=min(_FEW.epochs, max(_ENOUGH.epochs, float(epochs))))


def few_lines(spec: TuneSpec, dataset: Dataset) -> list[str]:
    """What was chosen because there are few examples; nothing when there are enough, or all was given."""
    used = dataclasses.asdict(_by_number(dataset))
    changed = [f"--{spelled(name)} {value:g}" for name, value in used.items() if getattr(spec, name) is None]
    if not _are_few(dataset) or not changed:
        return []
    more = "" if spec.repeats > 1 else "; --repeats 5 shows how much of the result is chance"
    return [f"few examples ({examples_a_class(dataset):.3g} a class in train), so {_listed(changed)}{more}"]


def _listed(items: Sequence[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]
