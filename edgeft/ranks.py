"""Which process of a common run this is: torchrun and `accelerate launch` start the same command several times and tell
each process its number in environment variables (https://docs.pytorch.org/docs/stable/elastic/run.html).

Only the first process talks to the user and writes the run; of a failure tells whichever met it first.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from edgeft.errors import UsageError

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR")


def world() -> int:
    """How many processes do this run together; 1 for a command that was typed as it is."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _NEEDED) else 1


def number() -> int:
    """Of this process among them, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def number_here() -> int:
    """Of this process among those on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if world() > 1 else 0


def world_here() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world() > 1 else 1


def first() -> bool:
    return number() == 0


_claim: Callable[[], bool] = first


def ask_who_failed_first(claim: Callable[[], bool]) -> None:
    """From now on `claim` decides which process tells the user of a failure; before, the first one does."""
    global _claim
    _claim = claim


def tells_of_failure() -> bool:
    """Is it this process that tells the user what went wrong? The others fail only because it did."""
    return world() == 1 or _claim()


def refuse_several(command: str) -> None:
    """Raises UsageError for a command that several processes cannot do together."""
    if world() > 1:
        raise UsageError(
            f"edgeft {command} is work for one process, and {world()} were started",
            f"start edgeft tune with torchrun, then edgeft {command} without it",
        )
