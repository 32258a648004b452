"""Reading a meter's watts in a process of its own, at the lowest priority, so that the timed one is left alone.

This module is both sides: `Sampler` starts and stops the process, and run as
`python -m edgeft.evaluation.meters.sampler` it is that process. Lines "NANOSECONDS WATTS" go to a file; the clock is
perf_counter_ns, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgeft.evaluation.meters.kinds import Power
from edgeft.evaluation.meters.world import ReadError, World

# A sensor that fails this often in a row, for so long, is gone.
_FAILURES, _FAILING_S = 5, 5.0
_START_S, _LAST_S = 30.0, 15.0


class Sampler:
    """`asked` is a meter as the user writes it: NAME or NAME:ARGUMENT."""

    def __init__(self, asked: str, root: Path) -> None:
        self._job = {"meter": asked, "root": str(root)}
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Raises ReadError when no sample comes."""
        self._folder = tempfile.TemporaryDirectory(prefix="edgeft-")
        package = str(Path(__file__).resolve().parents[3])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        with open(self._file, "w", encoding="ascii", errors="replace") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgeft.evaluation.meters.sampler"], stdin=subprocess.PIPE, stdout=out,
                stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
        stdin = self._process.stdin
        assert stdin is not None  # a pipe was asked for
        stdin.write(json.dumps(self._job) + "\n")
        stdin.flush()
        end = time.monotonic() + _START_S
        while not self.samples()[0]:
            if self.failure() or time.monotonic() > end:
                reason = self.failure() or f"no sample within {_START_S:.0f} s"
                self.stop()
                raise ReadError(reason)
            time.sleep(0.02)

    @property
    def _file(self) -> Path:
        assert self._folder is not None, "the sampler was not started"
        return Path(self._folder.name) / "samples"

    def failure(self) -> str | None:
        """Why the process ended by itself, or None while it runs."""
        if self._process is None or self._process.poll() is None:
            return None
        errors = [line[2:] for line in self._lines() if line.startswith("! ")]
        return errors[-1] if errors else f"the sampling process ended with code {self._process.returncode}"

    def samples(self) -> tuple[list[float], list[float]]:
        """(seconds of perf_counter, watts) so far."""
        pairs = [line.split(" ") for line in self._lines() if not line.startswith("!")]
        return [int(at) / 1e9 for at, _ in pairs], [float(watts) for _, watts in pairs]

    def _lines(self) -> list[str]:
        text = self._file.read_text(encoding="ascii", errors="replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def stop(self, beyond_s: float = 0.0) -> tuple[list[float], list[float]]:
        """End the process when its samples reach beyond that moment; its samples."""
        if self._process is None or self._folder is None:
            return [], []
        end = time.monotonic() + _LAST_S
        while self.failure() is None and self.samples()[0][-1:] < [beyond_s] and time.monotonic() < end:
            time.sleep(0.05)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # the process ends when its input does, also when this one is killed
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        found = self.samples()
        self._folder.cleanup()
        self._process = self._folder = None
        return found


def _measured(meter: Power) -> float:
    """Raises ReadError for "not a number" and infinity, too: one of them would spoil the joules of a whole window."""
    watts = meter.watts()
    if not math.isfinite(watts):
        raise ReadError(f"{meter.name} gave {watts} W")
    return watts


def sample(
    meter: Power, write: Callable[[str], None], wait: Callable[[float], bool],
    clock: Callable[[], int] = time.perf_counter_ns,
) -> None:  # fmt: skip
    """Read until `wait(seconds)` says stop, or the sensor is gone. A read that fails leaves a gap, not a figure."""
    period_ns = round(1e9 / meter.hz)
    due, failures, good_ns = clock(), 0, clock()
    while True:
        begin = clock()
        try:
            watts = _measured(meter)
        except ReadError as error:
            failures += 1
            write("! " + " ".join(str(error).split()) + "\n")
            if failures >= _FAILURES and clock() - good_ns >= _FAILING_S * 1e9:
                return
        else:
            good_ns, failures = clock(), 0
            write(f"{(begin + good_ns) // 2} {watts!r}\n")
        due = max(due + period_ns, clock())  # late: go on from now, do not hurry after what was missed
        if wait((due - clock()) / 1e9):
            return


def stand_aside() -> None:
    """At the lowest priority, and off the CPUs that the timed process keeps to, where there are others: this process
    inherited them."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):  # not allowed in some containers; macOS has no affinity
        others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
        if others:
            os.sched_setaffinity(0, others)


def _main() -> None:
    from edgeft.evaluation.energy import make

    stand_aside()
    job, stopped = json.loads(sys.stdin.readline()), threading.Event()

    def stop_at_the_end_of_input() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=stop_at_the_end_of_input, daemon=True).start()

    def write(line: str) -> None:
        sys.stdout.write(line)
        sys.stdout.flush()

    sample(make(job["meter"], World(root=Path(job["root"]))), write, stopped.wait)


if __name__ == "__main__":
    _main()
