"""`--keep-float auto`: the fewest layers that must stay float for a budget to hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def fewest(ranked: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> list[str] | None:
    """The shortest list found for which `holds`; None when not even all of `ranked` are enough.

    ranked   layers, the one whose float arithmetic helps most first

    First the shortest head of `ranked` that is enough, by doubling and halving; then every layer of it that the others
    do without goes, the least helpful first. No layer of the result can be left out; another choice of as many layers
    may exist, since sets are not tried one by one (there are 2**n).
    """
    count = _shortest_head(ranked, holds)
    if not count:
        return None if count is None else []
    chosen = list(ranked[:count])
    for layer in reversed(ranked[: count - 1]):
        fewer = [name for name in chosen if name != layer]
        if holds(fewer):
            chosen = fewer
    return chosen


def _shortest_head(ranked: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> int | None:
    if holds([]):
        return 0
    short, count = 0, 1
    while not holds(ranked[:count]):
        if count >= len(ranked):
            return None
        short, count = count, min(2 * count, len(ranked))
    while count - short > 1:
        middle = (short + count) // 2
        short, count = (short, middle) if holds(ranked[:middle]) else (middle, count)
    return count
