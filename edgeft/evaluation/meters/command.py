"""Any command that prints watts: the way in for meters that have no file here."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field

from edgeft.evaluation.meters.kinds import EXTERNAL
from edgeft.evaluation.meters.world import ReadError, Unavailable, World


@dataclass
class Command:
    """`argument` is the command line; it prints one number, the watts now."""

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "command"
    coverage: str = EXTERNAL
    resolution: str = "as the command gives it"
    hz: float = 2.0  # a process is started for each sample
    min_window_s: float = 50.0
    trim_s: float = 0.5

    @property
    def source(self) -> str:
        return self.argument

    def available(self) -> str | None:
        if not self.argument.strip():
            return Unavailable("it must be named", "--meter 'command:CMD', where CMD prints the watts as one number")
        try:
            self.watts()
        except ReadError as error:
            return Unavailable(str(error), "CMD must print the watts as one number", present=True)
        return None

    def watts(self) -> float:
        try:
            words = shlex.split(self.argument)
        except ValueError as error:
            raise ReadError(f"{self.argument}: {error}") from error
        text = self.world.run(words)
        try:
            found = float(text)
        except ValueError as error:
            raise ReadError(f"{words[0]} printed {text.strip()[:60]!r}, not one number") from error
        if not math.isfinite(found):
            raise ReadError(f"{words[0]} printed {text.strip()[:60]!r}, which is no measured number")
        return found
