"""How long the command line takes to answer, against `import click` alone.

    python -m benchmarks.startup [--json FILE] [--rounds N]

Every system runs once a round in a process of its own, rounds alternate in order, and the median is compared, so a
slow moment of the machine hits all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.table import Row, arguments, show

BASELINE = "import click"
SYSTEMS = {
    BASELINE: ["-c", "import click"],
    "python alone": ["-c", "pass"],
    "import edgeft": ["-c", "import edgeft"],
    "edgeft --help": ["-m", "edgeft", "--help"],
    "edgeft tune --help": ["-m", "edgeft", "tune", "--help"],
    "edgeft eval --help": ["-m", "edgeft", "eval", "--help"],
    "edgeft --version": ["-m", "edgeft", "--version"],
    "edgeft profiles list": ["-m", "edgeft", "profiles", "list"],
}


def once_s(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(rounds: int) -> dict[str, float]:
    """System -> median wall time in seconds; the first round only warms the file cache."""
    times: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    for number in range(rounds + 1):
        for name in list(SYSTEMS) if number % 2 else reversed(SYSTEMS):
            seconds = once_s(SYSTEMS[name])
            if number:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = arguments("How long the command line takes to answer, against `import click` alone.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    chosen = parser.parse_args()
    medians = measure(chosen.rounds)
    base = medians[BASELINE]
    rows = [Row(name, "", "wall time", seconds * 1000, "ms", seconds / base) for name, seconds in medians.items()]
    show("startup", rows, chosen.json)


if __name__ == "__main__":
    main()
