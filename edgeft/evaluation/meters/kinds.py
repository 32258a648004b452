"""The three kinds of meters: counters of joules, samplers of watts, and logs that another device writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

# Coverage of a meter that is wired to something only the user knows, until the user names it.
EXTERNAL = "external meter"


class Meter(Protocol):
    """What all kinds say of themselves. A meter is made with (World, what follows its name and a colon).

    name          as the user types it
    coverage      what the figure includes, as it stands in every sentence: "CPU package", "module", "wall"
    source        files, rails or address that are read
    resolution    smallest step and class of the sensor, for a person
    min_window_s  the shortest idle or load window in which this sensor says something
    """

    @property
    def name(self) -> str: ...

    @property
    def coverage(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def resolution(self) -> str: ...

    @property
    def min_window_s(self) -> float: ...

    def available(self) -> str | None:
        """None when it can measure here and now, else why not and what would help."""
        ...


@runtime_checkable
class Counter(Meter, Protocol):
    """Joules since an arbitrary start, read at the edges of a window.

    lsb_j         one step of the counter
    keep_alive_s  read at least this often, so that no wrap is missed
    wraps         wraps seen so far
    """

    @property
    def lsb_j(self) -> float: ...

    @property
    def keep_alive_s(self) -> float: ...

    @property
    def wraps(self) -> int: ...

    def joules(self) -> float:
        """Raises ReadError."""
        ...


@runtime_checkable
class Power(Meter, Protocol):
    """Watts now, read `hz` times a second in a process of its own.

    trim_s  left out at both ends of a window: the sensor still shows what was before it
    """

    @property
    def hz(self) -> float: ...

    @property
    def trim_s(self) -> float: ...

    def watts(self) -> float:
        """Raises ReadError."""
        ...


@runtime_checkable
class Log(Meter, Protocol):
    """Watts that something else wrote down with its own clock."""

    def trace(self) -> tuple[Sequence[float], Sequence[float]]:
        """(Unix seconds ascending, watts). Raises ReadError."""
        ...
