"""What meters touch: files, commands, the network. Passed in, so that tests put recorded answers in their place."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft.sysfiles import Tree

_TIMEOUT_S = 10.0


class Unavailable(str):
    """Why a meter cannot measure here, and what would help, as one line.

    reason   the first half
    fix      what to type or change, "" when nothing helps
    present  the sensor itself is there, so that the fix is worth printing
    """

    reason: str
    fix: str
    present: bool

    def __new__(cls, reason: str, fix: str = "", present: bool = False) -> Unavailable:
        made = super().__new__(cls, f"{reason}; {fix}" if fix else reason)
        made.reason, made.fix, made.present = reason, fix, present
        return made


class ReadError(OSError):
    """A sensor gave no figure this time. Never to be turned into 0."""


def run_command(command: Sequence[str]) -> str:
    """What `command` prints. Raises ReadError when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReadError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ReadError(f"{command[0]}: {last}")
    return done.stdout


def http_get(url: str) -> str:
    """The body at `url`. Raises ReadError."""
    import urllib.request  # with ssl and http it takes 1.4 MB, and only plugs need it

    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            return str(answer.read().decode("utf-8", errors="replace"))
    except (OSError, ValueError) as error:
        raise ReadError(f"{url}: {error}") from error


@dataclass(frozen=True)
class World:
    """root: the file tree; run: a command's output; get: a URL's body; load: a shared library by name."""

    root: Path = Path("/")
    run: Callable[[Sequence[str]], str] = run_command
    get: Callable[[str], str] = http_get
    load: Callable[[str], Any] = ctypes.CDLL

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def number(self, place: Path) -> int:
        """An integer file. Raises ReadError where a sensor is switched off, gone or not permitted."""
        try:
            return int(place.read_text(encoding="ascii", errors="replace"))
        except (OSError, ValueError) as error:
            raise ReadError(f"{place.name}: {error}") from error
