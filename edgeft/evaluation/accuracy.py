"""The accuracy pass: every held-out example through every variant, on this machine, answers kept one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.errors import DataError
from edgeft.evaluation import stats
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import feed_for, run_logits
from edgeft.evaluation.shelf import Shelf
from edgeft.tasks.task import Scores, Task

# MLPerf's closed division: at least 99 % of the original's score.
MARGIN_SHARE = 0.01


@dataclass(frozen=True)
class Answers:
    """Answers of all variants on the same examples.

    positions  [n] index into the held-out examples
    labels     [n] right label
    logits     variant -> [n, labels] float32
    faulty     variant -> why its answers are none; it is not in `logits`
    """

    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: Mapping[str, NDArray[np.float32]]
    faulty: Mapping[str, str] = field(default_factory=dict)


def answer_all(
    shelf: Shelf,
    samples: Samples,
    n_labels: int,
    tick: Callable[[], None] = lambda: None,
    known: Mapping[str, NDArray[np.float32]] | None = None,
    finished: Callable[[str, NDArray[np.float32]], None] = lambda name, logits: None,
) -> Answers:
    """Run every readable example through every variant, one at a time, as the latency pass does.

    A variant that answers with anything but one finite number a label is run no further.

    known      logits [all examples, labels] of variants that are not run again
    finished   told these of each variant as soon as its last example is answered

    Raises DataError when no example can be read, ModelError when a variant refuses one.
    """
    known = known or {}
    logits = {name: known.get(name, np.full((len(samples), n_labels), np.nan, np.float32)) for name in shelf.names}
    faulty: dict[str, str] = {}
    for group in shelf.groups():
        left = tuple(name for name in group if name not in known)
        if left:
            faulty |= _answer(shelf, left, samples, logits, tick)
        for name in left:
            if name not in faulty:
                finished(name, logits[name])
    good = np.array([i for i in range(len(samples)) if i not in samples.unreadable], dtype=np.int64)
    if len(good) == 0:
        raise DataError("not one held-out example of the bundle can be read", "export the run again")
    labels = np.array([samples.examples[i].label for i in good], dtype=np.int64)
    sound = {name: values[good] for name, values in logits.items() if name not in faulty}
    return Answers(good, labels, sound, faulty)


def _answer(
    shelf: Shelf,
    group: tuple[str, ...],
    samples: Samples,
    logits: Mapping[str, NDArray[np.float32]],
    tick: Callable[[], None],
) -> dict[str, str]:
    """Fill the rows of the variants in `group`; variant -> why, for those that give none.

    A function of its own, so that no model outlives it by a name.
    """
    models, faulty = {name: shelf.get(name) for name in group}, dict[str, str]()
    for position, arrays in samples.stream():
        for name in list(models):
            answer = run_logits(models[name], feed_for(models[name], arrays, name), 1, name)
            fault = _fault(answer, logits[name].shape[1])
            if fault is None:
                logits[name][position] = answer[0]
            else:
                faulty[name] = f"{name} {fault} (sample {samples.examples[position].id})"
                del models[name]
            tick()
        if not models:
            break
    return faulty


def _fault(answer: NDArray[np.float32], n_labels: int) -> str | None:
    """Why an answer is none: an ONNX file may hold another number of labels than its bundle, or overflow."""
    if answer.shape != (1, n_labels):
        return f"answers with shape {list(answer.shape)}, and {n_labels} labels ask for [1, {n_labels}]"
    return None if np.isfinite(answer).all() else "answers with numbers that are not finite"


def score_all(task: Task, answers: Answers, names: tuple[str, ...]) -> dict[str, tuple[NDArray[np.int64], Scores]]:
    """variant -> (answered labels [n], scores)."""
    found = {}
    for variant, logits in answers.logits.items():
        predicted = task.decode(logits)
        found[variant] = (predicted, task.score(predicted, answers.labels, names))
    return found


def compare(
    baseline: tuple[NDArray[np.int64], Scores],
    new: tuple[NDArray[np.int64], Scores],
    labels: NDArray[np.int64],
    n_labels: int,
    seed: int,
) -> dict[str, Any]:
    """The accuracy part of a comparison: difference, interval, verdict (measurement: paired non-inferiority)."""
    b, c = stats.count_discordant(baseline[1].correct, new[1].correct)
    paired = stats.paired_difference(b, c, new[1].n)
    margin = MARGIN_SHARE * baseline[1].value
    verdict = stats.verdict(paired.low, paired.high, margin)
    found: dict[str, Any] = {
        "b": b, "c": c, "n": paired.n, "diff": paired.diff, "ci95": [paired.low, paired.high],
        "margin": margin, "verdict": verdict,
    }  # fmt: skip
    needed = stats.samples_needed(paired.discordant_share, margin)
    if verdict == "undecided" and needed is not None:
        found["needs_n"] = needed
    found["mcnemar_p"] = stats.mcnemar(b, c)
    found["agreement"] = float(np.mean(baseline[0] == new[0]))
    found["macro_f1"] = _macro_f1(baseline[0], new[0], labels, n_labels, seed)
    return found


def _macro_f1(
    baseline: NDArray[np.int64], new: NDArray[np.int64], labels: NDArray[np.int64], n_labels: int, seed: int
) -> dict[str, Any]:
    """Macro-F1 is no mean over samples: a paired bootstrap gives its interval."""

    def difference(rows: NDArray[np.intp]) -> float:
        before = stats.macro_f1(baseline[rows], labels[rows], n_labels)
        return stats.macro_f1(new[rows], labels[rows], n_labels) - before

    found: dict[str, Any] = {"diff": difference(np.arange(len(labels)))}
    if np.array_equal(baseline, new):  # every resample is the same, which says nothing of other samples
        return found
    return {**found, "ci95": list(stats.bootstrap_difference(difference, len(labels), seed))}


def closeness(baseline: NDArray[np.float32], new: NDArray[np.float32]) -> dict[str, float]:
    """How near the outputs are where the answers agree: they show saturation before accuracy does.

    max_logit_diff is in logits; mean_kl in nats, KL(baseline || new) of the softmax, mean over samples.
    """
    p, q = _log_softmax(baseline), _log_softmax(new)
    divergence = np.sum(np.exp(p) * (p - q), axis=1)
    return {"max_logit_diff": float(np.max(np.abs(baseline - new))), "mean_kl": float(max(divergence.mean(), 0.0))}


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def worst_class(baseline: Scores, new: Scores) -> dict[str, Any] | None:
    """The label whose recall fell most (exploratory: one of many, unadjusted); None when none fell."""
    drops = {
        label: row["recall"] - new.per_class[label]["recall"]
        for label, row in baseline.per_class.items()
        if "recall" in row and "recall" in new.per_class.get(label, {})
    }
    label = max(drops, key=lambda name: drops[name], default=None)
    if label is None or drops[label] <= 0:
        return None
    return {"label": label, "recall_drop": drops[label], "n": int(baseline.per_class[label]["n"])}
