"""The errors edgeft raises on purpose, and the exit code each one means.

    EdgeftError            1  something is wrong; the message says what, where, and what to type next
    ├── UsageError         2  an option, a recipe key or a name that does not exist
    ├── DataError          1  the user's examples
    ├── ModelError         1  the user's model
    ├── ProfileError       1  a hardware profile
    ├── FolderError        1  a run, bundle or result folder that is missing, unfinished, altered or too new
    ├── MachineError       1  this machine lacks something: a package, memory, disk space
    ├── GateFailed         3  an export was written, and a check on it failed
    └── BudgetMissed       3  an evaluation was done, and a budget was missed

Only `edgeft.outcome` turns an error into a line on stderr and an exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EdgeftError(Exception):
    """One line for a person: `what` is wrong and where, then `next_step`, what to type or change."""

    exit_code = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = " ".join(what.split())
        self.next_step = " ".join(next_step.split())
        super().__init__(f"{self.what}; {self.next_step}" if self.next_step else self.what)


class UsageError(EdgeftError):
    exit_code = 2


class DataError(EdgeftError):
    pass


class ModelError(EdgeftError):
    pass


class ProfileError(EdgeftError):
    pass


class FolderError(EdgeftError):
    pass


class MachineError(EdgeftError):
    pass


class GateFailed(EdgeftError):
    exit_code = 3


class BudgetMissed(EdgeftError):
    exit_code = 3


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`did you mean 'x'?` when something close exists, else `choose from a, b, c`."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"choose from {', '.join(choices)}" if choices else ""
