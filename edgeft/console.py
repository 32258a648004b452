"""What a person sees while edgeft works: lines, notices and progress bars.

Results and progress lines go to stdout, notices and warnings to stderr. A bar is drawn only on a terminal; in a
log file there are no carriage returns, only a line now and then. Of several processes of one run only the first is
heard.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from edgeft import ranks

Item = TypeVar("Item")

_LOG_EVERY_S = 30.0
_verbosity = 0
_stopping = False
_silent = False


def set_verbosity(level: int) -> None:
    """-1 quiet (results and warnings only), 0 normal, 1 verbose."""
    global _verbosity
    _verbosity = level


def verbosity() -> int:
    return _verbosity


@contextmanager
def quieter() -> Iterator[None]:
    """While inside, lines and bars of the normal level are left out: one of many runs speaks through its result."""
    before = _verbosity
    set_verbosity(before if before > 0 else -1)
    try:
        yield
    finally:
        set_verbosity(before)


@contextmanager
def silent() -> Iterator[None]:
    """While inside, results are left out too: what a part of the work was asked for is not what the user asked for."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


def stop_soon(asked: bool) -> None:
    """Remember that the user wants to stop: some library swallows a KeyboardInterrupt raised inside it. The next line
    or step of a bar then raises it again."""
    global _stopping
    _stopping = asked


def _go_on() -> None:
    if _stopping:
        raise KeyboardInterrupt


def say(line: str = "") -> None:
    """A line about the work, on stdout; dropped by --quiet."""
    _go_on()
    if _verbosity >= 0 and ranks.first():
        click.echo(line)


def result(text: str) -> None:
    """What the command was asked for, on stdout, even with --quiet."""
    if not _silent and ranks.first():
        click.echo(text)


def detail(line: str) -> None:
    """A line only --verbose shows."""
    if _verbosity > 0 and ranks.first():
        click.echo(line)


def warn(line: str, anywhere: bool = False) -> None:
    """Something the user should know, on stderr, even with --quiet.

    anywhere   also from a process that is not the first of its run
    """
    if anywhere or ranks.first():
        click.echo(f"warning: {line}", err=True)


class Bar:
    """Progress of one long step. `advance(n, loss=…)` counts; figures are shown beside the bar."""

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done, self._start = 0, time.monotonic()
        self._last_line = self._start
        self._tqdm: Any = None
        if sys.stdout.isatty() and _verbosity >= 0 and ranks.first():
            from tqdm import tqdm

            self._tqdm = tqdm(total=total, desc=title, unit=unit, file=sys.stdout, dynamic_ncols=True, leave=False)

    def advance(self, n: int = 1, **figures: float | str) -> None:
        _go_on()
        self._done += n
        if self._tqdm is not None:
            if figures:
                self._tqdm.set_postfix(figures, refresh=False)
            self._tqdm.update(n)
        elif time.monotonic() - self._last_line >= _LOG_EVERY_S:
            self._last_line = time.monotonic()
            say(self._line(figures))

    def _line(self, figures: dict[str, float | str]) -> str:
        of = f" of {self._total}" if self._total else ""
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        extra = "".join(f", {name} {value}" for name, value in figures.items())
        return f"{self._title}: {self._done}{of} {self._unit}, {rate:.3g} {self._unit}/s{extra}"

    def close(self) -> None:
        if self._tqdm is not None:
            self._tqdm.close()


@contextmanager
def bar(title: str, total: int | None, unit: str = "it") -> Iterator[Bar]:
    shown = Bar(title, total, unit)
    try:
        yield shown
    finally:
        shown.close()


def track(items: Iterable[Item], title: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yield `items` and show how far along they are."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(title, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()
