"""What a model is for. numpy only: the same code encodes, decodes and scores in tune, export and eval.

The words used for it, from what the user has to what is compared:

    example   what the user's data is made of: an image, a text, a sentence; its `label` is what is right for it, a
              value that belongs to the task (see edgeft.data.targets)
    query     what the model is asked in one go: the example, or a part of one that is too long for the model
    answer    one row of logits that is scored: a query has one, or one for each word
    owner     the example that an answer is a part of. Statistics are made over examples: answers of one are alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeft.data.dataset import Example
from edgeft.data.words import Words


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model: name, numpy dtype name, shape (a string is a free dimension), unit."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    unit: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape), "unit": self.unit}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TensorSpec:
        shape = tuple(document["shape"])
        return TensorSpec(document["name"], document["dtype"], shape, document.get("unit", ""))


# Beside its inputs an encoder may give this mask, bool [n, positions]: where the model's output is an answer.
ASKED = "asked"
# Label of a position that is not asked for (the ignore_index of torch's cross-entropy).
IGNORED = -100
Content = Path | str | Words
Array = TypeVar("Array")


class Encoder(Protocol):
    """Turns raw contents into the arrays a model takes, by a description that travels with the model."""

    inputs: tuple[TensorSpec, ...]

    def __call__(self, contents: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Arrays by input name, first dimension len(contents); texts are padded to the longest given. With ASKED where
        not every output is an answer."""
        ...


def without_mask(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """What the model takes, of what an encoder gave."""
    return {name: array for name, array in arrays.items() if name != ASKED}


def answers_in(output: NDArray[np.float32], arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The answers in a model's output to an encoded batch: [answers, labels], query by query.

    Of an output [n, labels] all of it; of [n, positions, labels] the positions that are asked for.
    """
    return output[arrays[ASKED]] if ASKED in arrays else output


def labels_of(queries: Sequence[Example]) -> NDArray[np.int64]:
    """The right label of every answer, [answers]."""
    found = [label for query in queries for label in ((query.label,) if isinstance(query.label, int) else query.label)]
    return np.array(found, dtype=np.int64)


def answers_each(queries: Sequence[Example]) -> list[int]:
    """How many answers each query has."""
    return [1 if isinstance(query.label, int) else len(query.label) for query in queries]


def owners_of(queries: Sequence[Example]) -> NDArray[np.int64] | None:
    """[answers]: number of the example, in order of appearance, that each is a part of; None when each is one."""
    if all(isinstance(query.label, int) for query in queries):
        return None
    numbers: dict[str, int] = {}
    each = [numbers.setdefault(query.whole or query.id, len(numbers)) for query in queries]
    return np.repeat(np.array(each, np.int64), answers_each(queries))


def examples_of(queries: Sequence[Example]) -> list[Example]:
    """One query of each example, in the order in which `Task.score` sees the examples: the first of its parts."""
    owners = owners_of(queries)
    if owners is None:
        return list(queries)
    firsts = np.unique(owners, return_index=True)[1]
    asked = [query for query, n in zip(queries, answers_each(queries), strict=True) for _ in range(n)]
    return [asked[at] for at in firsts]


# What metrics are called in sentences, where it is not their name.
METRIC_TITLES: Mapping[str, str] = MappingProxyType({"f1": "F1"})


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    metric, value  the task's main metric and its value, 0..1
    n              number of examples scored
    correct        [n] bool: was this example right, all of it (what paired statistics need)
    per_class      label name -> {"n", "recall", "precision", "f1"}
    others         other metrics by name
    counts         [n, k] what the metric is computed from, where it is no mean over examples: `Task.from_counts` of
                   their sum; None where it is the mean of `correct`
    """

    metric: str
    value: float
    n: int
    correct: NDArray[np.bool_]
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)
    counts: NDArray[np.int64] | None = None


class Task(Protocol):
    """A task: one file, one line in the table of edgeft.tasks.

    name        as the user types it, the Hub's pipeline name
    metric      main metric
    content     which examples it takes: "image", "text" or "words"
    target      what their labels are, see edgeft.data.targets
    auto_model  transformers class that loads a model with the right head
    output      name of the output tensor; `output_spec(n_labels)` describes it
    """

    name: str
    metric: str
    content: str
    target: str
    auto_model: str

    def output_spec(self, n_labels: int) -> TensorSpec: ...

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> Encoder:
        """`folder` holds the files the description names (tokenizer.json)."""
        ...

    def queries(self, examples: Sequence[Example], encoder: Any) -> list[Example]:
        """What the model is asked for `examples`: they themselves, or each that is too long in several parts, one after
        the other, with `whole` set. Every answer of an example is asked for once."""
        ...

    def decode(self, output: NDArray[np.float32]) -> NDArray[np.int64]:
        """Logits [answers, labels] -> label index [answers]. Two answers are the same when these are equal."""
        ...

    def score(
        self,
        predicted: NDArray[np.int64],
        labels: NDArray[np.int64],
        names: Sequence[str],
        owners: NDArray[np.int64] | None = None,
    ) -> Scores:
        """How good `predicted` is where `labels` is right, both [answers]; `owners` as `owners_of` gives them."""
        ...

    def from_counts(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """The metric of sums of `Scores.counts`, [..., k] -> [...]. Never called for a task that gives none."""
        ...
