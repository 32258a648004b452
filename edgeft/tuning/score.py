"""How good a model is on a split: the task's encoder, decoder and score, the same code as on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeft import console, ranks
from edgeft.data.dataset import Example
from edgeft.evaluation import slices
from edgeft.quant.feed import answers, encoded
from edgeft.tasks.task import Encoder, Scores, Task, answers_each, examples_of, labels_of, owners_of
from edgeft.tuning import processes
from edgeft.tuning.classes import class_figures
from edgeft.tuning.resampled import Resampled

SCORED = ("validation", "test")


def calibration_error(sure: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al., arXiv 1706.04599, equation 3) of answers [n] that were right or not.

    The distance between how sure a model is and how often it is right, in bins of equal width of how sure it is.
    """
    at = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(float((sure[at == one] - right[at == one]).sum())) for one in range(bins)]
    return sum(gaps) / len(sure)


class _Places:
    """Where the answers of each example stand among those of a split; `n` of them in all."""

    def __init__(self, examples: Sequence[Example]) -> None:
        ends = np.cumsum([0, *answers_each(examples)])
        self._starts, self._ends, self.n = ends[:-1], ends[1:], int(ends[-1])

    def of(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        """Positions of the answers of the examples `chosen`, example by example."""
        return np.concatenate([np.arange(self._starts[i], self._ends[i]) for i in chosen])


class Judge:
    """Scores models on the splits of one dataset. Keeps the answers only, so memory does not grow with logits.

    Several processes share the batches of a split, and all get all answers: each has to ask for them.
    """

    def __init__(
        self,
        task: Task,
        encoder: Encoder,
        splits: Mapping[str, Sequence[Example]],
        labels: Sequence[str],
        batch_size: int,
    ) -> None:
        self._task, self.encoder, self._splits = task, encoder, splits
        self._labels, self._batch_size = labels, batch_size

    def on(self, encoder: Encoder, splits: Mapping[str, Sequence[Example]]) -> Judge:
        """One of the same task for other examples."""
        return Judge(self._task, encoder, splits, self._labels, self._batch_size)

    @property
    def metric(self) -> str:
        return self._task.metric

    def scores(self, model: nn.Module, split: str, advance: Callable[[int], None] = lambda n: None) -> Scores:
        """Scores of `model` (in eval mode meanwhile) on `split`; `advance(n)` is told of every batch done."""
        predicted, _ = self._predicted(model, split, advance)
        return self._score(predicted, split)

    def _score(self, predicted: NDArray[np.int64], split: str) -> Scores:
        return self._task.score(predicted, self.labels(split), self._labels, owners_of(self._splits[split]))

    def score(self, logits: NDArray[np.float32], split: str) -> Scores:
        """Scores of the answers that `logits` gave for `split`."""
        return self._score(self._task.decode(logits), split)

    def _predicted(
        self, model: nn.Module, split: str, advance: Callable[[int], None]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Answers and how sure of them the model is, its largest probability; both [answers]."""
        at = _Places(self._splits[split])
        predicted, sure = np.zeros(at.n, dtype=np.int64), np.zeros(at.n)
        left = len(self._splits[split])
        for chosen, logits in self._answered(model, split):
            rows = at.of(chosen)
            predicted[rows] = self._task.decode(logits)
            sure[rows] = 1 / np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64).sum(axis=-1)
            done = min(left, len(chosen) * ranks.world())  # the others are about as far
            left -= done
            advance(done)
        return processes.summed(predicted), processes.summed(sure)

    def labels(self, split: str) -> NDArray[np.int64]:
        """[answers], in the order of the split."""
        return labels_of(self._splits[split])

    def logits(self, model: nn.Module, split: str) -> NDArray[np.float32]:
        """[answers, labels], in the order of the split."""
        at = _Places(self._splits[split])
        found = np.zeros((at.n, len(self._labels)), dtype=np.float32)
        for chosen, logits in self._answered(model, split):
            found[at.of(chosen)] = logits
        return processes.summed(found)

    def resampled(self, calibrated: NDArray[np.float32], trained: NDArray[np.float32], split: str) -> Resampled | None:
        """What `better` needs of a metric that is no mean over examples; None for one that is."""
        one, other = self.score(calibrated, split), self.score(trained, split)
        return None if one.counts is None else Resampled(one, other, self._task.from_counts)

    @torch.no_grad()
    def _answered(self, model: nn.Module, split: str) -> Iterator[tuple[Sequence[int], NDArray[np.float32]]]:
        """Indices and logits of batch after batch of this process, with the model in eval mode meanwhile."""
        before = model.training
        model.eval()
        try:
            device = next(model.parameters()).device
            mine = (ranks.number(), ranks.world())
            for chosen, tensors in encoded(self.encoder, self._splits[split], self._batch_size, device, mine):
                yield chosen, answers(model, tensors)
        finally:
            model.train(before)

    def record(self, model: nn.Module, title: str) -> dict[str, dict[str, Any]]:
        """{"validation": {metric, value, n, calibration_error}, "test": {…}}, with a progress bar.

        Each also has "classes", of edgeft.tuning.classes.class_figures, and "slices" where examples have them.
        """
        with console.bar(f"scoring {title}", sum(len(self._splits[split]) for split in SCORED), "samples") as bar:
            return {split: self._entry(model, split, bar.advance) for split in SCORED}

    def _entry(self, model: nn.Module, split: str, advance: Callable[[int], None]) -> dict[str, Any]:
        predicted, sure = self._predicted(model, split, advance)
        labels = self.labels(split)
        found = self._score(predicted, split)
        error = calibration_error(sure, predicted == labels)
        figures = {"metric": found.metric, "value": float(found.value), "n": found.n}
        classes = class_figures(found, predicted, labels, self._labels)
        apart = slices.figures(found.correct, [example.slice for example in examples_of(self._splits[split])])
        return {
            **figures, "calibration_error": round(error, 4), "classes": classes, **({"slices": apart} if apart else {}),
        }  # fmt: skip
