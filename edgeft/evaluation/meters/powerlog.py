"""A power log: a CSV that a meter's own program writes while edgeft measures. Columns t_unix_s,watt or t,volt,amp."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path

from edgeft.evaluation.meters.kinds import EXTERNAL
from edgeft.evaluation.meters.world import ReadError, Unavailable, World

_COLUMNS = (("t_unix_s", "watt"), ("t", "volt", "amp"))


@dataclass
class PowerLog:
    """`argument` is the file. It may still grow: it is read after the last block.

    Its clock may differ from this machine's; the difference is found from the steps between idle and load.
    """

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "log"
    coverage: str = EXTERNAL
    resolution: str = "as the external meter gives it"
    min_window_s: float = 10.0

    @property
    def source(self) -> str:
        return self.argument

    def available(self) -> str | None:
        if not self.argument:
            return Unavailable("it must be named", "--meter FILE.csv")
        if not Path(self.argument).is_file():
            return Unavailable(f"there is no {self.argument}", "start the meter's recording first, then edgeft eval")
        try:
            self.trace()
        except ReadError as error:
            return Unavailable(str(error), "write columns t_unix_s,watt or t,volt,amp", present=True)
        return None

    def trace(self) -> tuple[list[float], list[float]]:
        try:
            with open(self.argument, encoding="utf-8-sig", newline="") as file:
                # A line that is still being written has no end yet.
                lines = [line for line in file if line.endswith(("\n", "\r")) and not line.lstrip().startswith("#")]
        except (OSError, UnicodeDecodeError) as error:
            raise ReadError(f"{self.argument}: {error}") from error
        return _parsed(lines, self.argument)


def _parsed(lines: list[str], name: str) -> tuple[list[float], list[float]]:
    rows = csv.DictReader(lines, skipinitialspace=True)
    columns = next((wanted for wanted in _COLUMNS if set(wanted) <= set(rows.fieldnames or ())), None)
    if columns is None:
        raise ReadError(f"{name} has the columns {', '.join(rows.fieldnames or ()) or 'of an empty file'}")
    times: list[float] = []
    watts: list[float] = []
    for row in rows:
        try:
            time_s, *values = (float(row[column]) for column in columns)
        except (TypeError, ValueError) as error:
            raise ReadError(f"{name}, line {rows.line_num}: {row} are no numbers") from error
        if not all(map(math.isfinite, (time_s, *values))):
            raise ReadError(f"{name}, line {rows.line_num}: {row} are no measured numbers")
        if times and time_s <= times[-1]:
            raise ReadError(f"{name}, line {rows.line_num}: time goes back from {times[-1]} to {time_s}")
        times.append(time_s)
        watts.append(math.prod(values))
    return times, watts
