"""What was there before a measurement is no business of the garbage collector while it goes on.

Before every block the collector runs, so that it need not run inside. Where torch is loaded, as in `edgeft run`, it
goes through half a million objects in 0.3 s each time; objects it is told to leave out cost nothing.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def left_out(story: Callable[P, R]) -> Callable[P, R]:
    """`story`, with every object older than its call left out of garbage collection until it ends.

    A program that has left objects out by itself (gc.freeze) keeps its own arrangement: they could not be told apart.
    """

    @functools.wraps(story)
    def quietly(*args: P.args, **kwargs: P.kwargs) -> R:
        if gc.get_freeze_count():
            return story(*args, **kwargs)
        gc.collect()
        gc.freeze()
        try:
            return story(*args, **kwargs)
        finally:
            gc.unfreeze()

    return quietly
