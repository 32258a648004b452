"""What a model is for. numpy only: the same code encodes, decodes and scores in tune, export and eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


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


class Encoder(Protocol):
    """Turns raw contents into the arrays a model takes, by a description that travels with the model."""

    inputs: tuple[TensorSpec, ...]

    def __call__(self, contents: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
        """Arrays by input name, first dimension len(contents); texts are padded to the longest given."""
        ...


@dataclass(frozen=True)
class Scores:
    """How good predictions are.

    metric, value  the task's main metric and its value, 0..1
    n              number of examples scored
    correct        [n] bool: was this example right (what paired statistics need)
    per_class      label name -> {"n", "recall", "precision", "f1"}
    others         other metrics by name
    """

    metric: str
    value: float
    n: int
    correct: NDArray[np.bool_]
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)


class Task(Protocol):
    """A task: one file, one line in the table of edgeft.tasks.

    name        as the user types it, the Hub's pipeline name
    metric      main metric
    content     which examples it takes: "image" or "text"
    auto_model  transformers class that loads a model with the right head
    output      name of the output tensor; `output_spec(n_labels)` describes it
    """

    name: str
    metric: str
    content: str
    auto_model: str

    def output_spec(self, n_labels: int) -> TensorSpec: ...

    def encoder(self, preprocessing: Mapping[str, Any], folder: Path) -> Encoder:
        """`folder` holds the files the description names (tokenizer.json)."""
        ...

    def decode(self, output: NDArray[np.float32]) -> NDArray[np.int64]:
        """Logits [n, labels] -> label index [n]."""
        ...

    def score(self, predicted: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str]) -> Scores: ...
