"""Part by part: how good a model is on each slice of the examples, and which slice loses more than the others.

A slice is what --slice-column says of an example (a camera, a site, an age group). An example whose slice is "" is in
none. numpy only: tune and eval share it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.evaluation import stats
from edgeft.evaluation.validity import Flag, flag

# A slice is flagged when chance, over all slices, would do it in fewer than one result of twenty.
ALPHA = 0.05


def by_slice(slices: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Slice -> positions of its examples, the slices in alphabetical order; nothing when no example has one."""
    names = np.asarray(slices, dtype=object)
    return {name: np.flatnonzero(names == name) for name in sorted({*slices} - {""})}


def figures(correct: NDArray[np.bool_], slices: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Slice -> {"n", "right": share of its examples that are answered right, "ci95": Wilson interval of it}.

    correct   [n]: is the answer to each example right
    slices    [n]
    """
    found = {}
    for name, rows in by_slice(slices).items():
        right, n = int(correct[rows].sum()), len(rows)
        low, high = stats.wilson(right, n)
        found[name] = {"n": n, "right": right / n, "ci95": [low, high]}
    return found


def changes(
    baseline: NDArray[np.bool_], new: NDArray[np.bool_], slices: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Slice -> what it lost or won when `new` took the place of `baseline`, both [n], right or wrong.

    n, diff, ci95   difference of the shares that are right, as in edgeft.evaluation.stats.paired_difference
    p               chance that as many examples drawn from all slices lose as much or more (see `chance`), after Holm's
                    correction for the number of slices
    worse           p is below ALPHA: the slice loses more than the others
    """
    change = new.astype(np.int64) - baseline.astype(np.int64)
    rows = by_slice(slices)
    inside = np.concatenate(list(rows.values())) if rows else np.array([], np.intp)
    lost, won = int((change[inside] < 0).sum()), int((change[inside] > 0).sum())
    alone = {
        name: chance(int(change[part].sum()), len(part), lost, won, len(inside)) for name, part in rows.items()
    }
    found = {}
    for name, p in holm(alone).items():
        part = rows[name]
        paired = stats.paired_difference(*stats.count_discordant(baseline[part], new[part]), len(part))
        found[name] = {
            "n": len(part), "diff": paired.diff, "ci95": [paired.low, paired.high], "p": p, "worse": p < ALPHA,
        }  # fmt: skip
    return {name: found[name] for name in rows}


def chance(total: int, m: int, lost: int, won: int, n: int) -> float:
    """Probability that won minus lost among `m` examples drawn without replacement is at most `total`.

    Of the n examples `lost` became wrong and `won` became right. This is the exact permutation test of "the slice has
    nothing to do with the change", the numbers drawn being multivariate hypergeometric.
    """
    drop, gain = np.arange(min(lost, m) + 1)[:, None], np.arange(min(won, m) + 1)[None, :]
    rest = m - drop - gain
    possible = (rest >= 0) & (rest <= n - lost - won) & (gain - drop <= total)
    if not possible.any():
        return 0.0
    a, b, c = (np.broadcast_to(part, possible.shape)[possible] for part in (drop, gain, rest))
    logs = _log_choose(lost, a) + _log_choose(won, b) + _log_choose(n - lost - won, c) - _log_choose(n, np.array([m]))
    return min(1.0, float(np.exp(logs).sum()))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """p values, each adjusted for all of them (Holm 1979), the smallest first."""
    found, highest = {}, 0.0
    for number, (name, one) in enumerate(sorted(p.items(), key=lambda pair: pair[1])):
        highest = max(highest, min(1.0, (len(p) - number) * one))
        found[name] = highest
    return found


def _log_choose(n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    factorial = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    found: NDArray[np.float64] = factorial[n] - factorial[k] - factorial[n - k]
    return found


def add(document: Mapping[str, Any], correct: Mapping[str, NDArray[np.bool_]], slices: Sequence[str]) -> list[Flag]:
    """Put figures by slice into a result where examples have slices, and return a flag for each that is worse off.

    correct   variant -> [n]: is the answer to each example right
    """
    if not any(slices):
        return []
    found, before = [], correct[document["baseline"]]
    for name, right in correct.items():
        document["variants"][name]["accuracy"]["slices"] = figures(right, slices)
        if name == document["baseline"]:
            continue
        apart = document["comparisons"][name]["accuracy"]["slices"] = changes(before, right, slices)
        whole = document["comparisons"][name]["accuracy"]["diff"]
        found += [_flag(name, part, one, whole) for part, one in apart.items() if one["worse"]]
    return found


def _flag(name: str, part: str, one: Mapping[str, Any], whole: float) -> Flag:
    evidence = (
        f"{name} loses more on the slice {part!r} than on the others: {100 * one['diff']:+.1f} points of {one['n']} "
        f"samples, {100 * whole:+.1f} of all (p {one['p']:.2g})"
    )
    return {**flag("slice", "warning", evidence, "accuracy"), "variant": name}
