"""The accuracy pass: every held-out example through every variant, on this machine, answers kept one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.dataset import Example
from edgeft.errors import DataError
from edgeft.evaluation import stats
from edgeft.evaluation.samples import Arrays, Samples
from edgeft.evaluation.session import feed_for, run_logits
from edgeft.evaluation.shelf import Shelf
from edgeft.tasks.task import ASKED, Scores, Task, answers_each, answers_in, examples_of, labels_of, owners_of

# MLPerf's closed division: at least 99 % of the original's score.
MARGIN_SHARE = 0.01


@dataclass(frozen=True)
class Answers:
    """Answers of all variants on the same examples.

    positions  [answers] index into the held-out queries
    labels     [answers] right label
    logits     variant -> [answers, labels] float32
    faulty     variant -> why its answers are none; it is not in `logits`
    owners     [answers] example of each, None when each is one (see edgeft.tasks.task)
    """

    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: Mapping[str, NDArray[np.float32]]
    faulty: Mapping[str, str] = field(default_factory=dict)
    owners: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        """Examples that could be read."""
        return len(np.unique(self.positions if self.owners is None else self.owners))

    def examples(self, samples: Samples) -> list[Example]:
        """Those that could be read, as `Scores.correct` has them; of one in several parts the first."""
        return examples_of([samples.examples[position] for position in np.unique(self.positions)])


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

    known      logits [all answers, labels] of variants that are not run again
    finished   told these of each variant as soon as its last example is answered

    Raises DataError when no example can be read, ModelError when a variant refuses one.
    """
    known = known or {}
    ends = np.cumsum(answers_each(samples.examples))
    logits = {name: known.get(name, np.full((ends[-1], n_labels), np.nan, np.float32)) for name in shelf.names}
    rows = {name: np.split(values, ends[:-1]) for name, values in logits.items()}
    faulty: dict[str, str] = {}
    for group in shelf.groups():
        left = tuple(name for name in group if name not in known)
        if left:
            faulty |= _answer(shelf, left, samples, rows, tick)
        for name in left:
            if name not in faulty:
                finished(name, logits[name])
    good = [i for i in range(len(samples)) if i not in samples.unreadable]
    if not good:
        raise DataError("not one held-out example of the bundle can be read", "export the run again")
    read = [samples.examples[i] for i in good]
    sound = {name: np.concatenate([rows[name][i] for i in good]) for name in logits if name not in faulty}
    positions = np.repeat(np.array(good, np.int64), answers_each(read))
    return Answers(positions, labels_of(read), sound, faulty, owners_of(read))


def _answer(
    shelf: Shelf,
    group: tuple[str, ...],
    samples: Samples,
    rows: Mapping[str, Sequence[NDArray[np.float32]]],
    tick: Callable[[], None],
) -> dict[str, str]:
    """Fill the rows of the variants in `group`, query by query; variant -> why, for those that give none.

    A function of its own, so that no model outlives it by a name.
    """
    models, faulty = {name: shelf.get(name) for name in group}, dict[str, str]()
    for position, arrays in samples.stream():
        for name in list(models):
            answer = run_logits(models[name], feed_for(models[name], arrays, name), 1, name)
            place = rows[name][position]
            fault = _fault(answer, arrays, place.shape[1])
            if fault is None:
                place[:] = answers_in(answer, arrays)
            else:
                faulty[name] = f"{name} {fault} (sample {samples.examples[position].id})"
                del models[name]
            tick()
        if not models:
            break
    return faulty


def _fault(answer: NDArray[np.float32], arrays: Arrays, n_labels: int) -> str | None:
    """Why an answer is none: an ONNX file may hold another number of labels than its bundle, or overflow."""
    wanted = (*(arrays[ASKED].shape if ASKED in arrays else (1,)), n_labels)
    if answer.shape != wanted:
        return f"answers with shape {list(answer.shape)}, and {n_labels} labels ask for {list(wanted)}"
    return None if np.isfinite(answer).all() else "answers with numbers that are not finite"


def score_all(task: Task, answers: Answers, names: tuple[str, ...]) -> dict[str, tuple[NDArray[np.int64], Scores]]:
    """variant -> (answered labels [answers], scores)."""
    found = {}
    for variant, logits in answers.logits.items():
        predicted = task.decode(logits)
        found[variant] = (predicted, task.score(predicted, answers.labels, names, answers.owners))
    return found


def compare(
    task: Task,
    baseline: tuple[NDArray[np.int64], Scores],
    new: tuple[NDArray[np.int64], Scores],
    labels: NDArray[np.int64],
    n_labels: int,
    seed: int,
) -> dict[str, Any]:
    """The accuracy part of a comparison: difference, interval, verdict (measurement: paired non-inferiority)."""
    margin = MARGIN_SHARE * baseline[1].value
    if baseline[1].counts is not None and new[1].counts is not None:
        found = _resampled(task, baseline[1], new[1], margin, seed)
    else:
        found = _paired(baseline, new, margin) | {
            "macro_f1": _macro_f1(baseline[0], new[0], labels, n_labels, seed)
        }
    return found | {"agreement": float(np.mean(baseline[0] == new[0]))}


def _resampled(task: Task, baseline: Scores, new: Scores, margin: float, seed: int) -> dict[str, Any]:
    """For a metric that is no mean over examples: one bootstrap over them for both variants."""
    assert baseline.counts is not None and new.counts is not None
    b, c = stats.count_discordant(baseline.correct, new.correct)
    found: dict[str, Any] = {"metric": new.metric, "b": b, "c": c, "n": new.n, "diff": new.value - baseline.value}
    if np.array_equal(baseline.counts, new.counts):
        # Every resample is the same, which says nothing of other examples: as for as many equal answers, one each.
        same = stats.paired_difference(0, 0, new.n)
        low, high = same.low, same.high
    else:
        draws = stats.bootstrap_counts(task.from_counts, baseline.counts, new.counts, seed)
        low, high = (float(np.quantile(draws, share)) for share in (0.025, 0.975))
        needed = stats.samples_needed_for(float(draws.std(ddof=1)), new.n, margin)
        if stats.verdict(low, high, margin) == "undecided" and needed is not None:
            found["needs_n"] = needed
    return {**found, "ci95": [low, high], "margin": margin, "verdict": stats.verdict(low, high, margin)}


def _paired(
    baseline: tuple[NDArray[np.int64], Scores], new: tuple[NDArray[np.int64], Scores], margin: float
) -> dict[str, Any]:
    """For a mean over examples that are right or wrong: Agresti-Min interval and exact McNemar test."""
    b, c = stats.count_discordant(baseline[1].correct, new[1].correct)
    paired = stats.paired_difference(b, c, new[1].n)
    verdict = stats.verdict(paired.low, paired.high, margin)
    found: dict[str, Any] = {
        "b": b, "c": c, "n": paired.n, "diff": paired.diff, "ci95": [paired.low, paired.high],
        "margin": margin, "verdict": verdict,
    }  # fmt: skip
    needed = stats.samples_needed(paired.discordant_share, margin)
    if verdict == "undecided" and needed is not None:
        found["needs_n"] = needed
    found["mcnemar_p"] = stats.mcnemar(b, c)
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
