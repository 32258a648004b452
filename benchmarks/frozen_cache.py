"""Ten epochs over a frozen backbone: edgeft, which runs it once, and a plain Trainer, which runs it in every epoch.

    python -m benchmarks.frozen_cache [--rows 640] [--epochs 10] [--rounds 3] [--json FILE]

The job of benchmarks.tune_overhead with a random BERT of 12 layers of width 128, and the head alone learning, in both
at the same rate. `edgeft, again` tunes once more with features that were kept. Every figure is the median of the
rounds; the systems take turns. Required: edgeft at least 10 times as fast, at the same accuracy on validation.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Row, arguments, show
from benchmarks.tune_overhead import BATCH, in_turn, make_job, plain, quiet
from edgeft.recipe import TuneSpec
from edgeft.tuning.run import tune

BASELINE = "plain Trainer"
LR = 3e-3


def edgeft(job: Path, out: Path, cache: Path, epochs: int) -> tuple[float, float]:
    os.environ["EDGEFT_CACHE"] = str(cache)
    run = tune(TuneSpec(
        model=str(job / "model"), data=str(job / "data"), scheme="none", freeze="backbone", lr=LR, epochs=float(epochs),
        batch_size=BATCH, device="cpu", output=out,
    ))  # fmt: skip
    assert run is not None
    return float(run.document["wall_s"]["float"]), float(run.document["scores"]["float"]["validation"]["value"])


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=640, help="training texts")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        make_job(job, options.rows, layers=12)
        systems: dict[str, Callable[[int], tuple[float, float]]] = {
            BASELINE: lambda n: plain(job, job / f"plain{n}", options.rows, True, options.epochs, LR, frozen=True),
            "edgeft tune": lambda n: edgeft(job, job / f"edgeft{n}", job / f"cache{n}", options.epochs),
            "edgeft, again": lambda n: edgeft(job, job / f"again{n}", job / f"cache{n}", options.epochs),
        }
        found = in_turn(systems, options.rounds)
    seconds = {name: statistics.median(each[0] for each in results) for name, results in found.items()}
    accuracy = {name: statistics.median(each[1] for each in results) for name, results in found.items()}
    rows = [
        Row(name, "BERT 12x128", f"{options.epochs} epochs", seconds[name], "s", seconds[BASELINE] / seconds[name])
        for name in systems
    ]
    rows += [Row(name, "BERT 12x128", "accuracy", accuracy[name], "") for name in systems]
    show("frozen_cache", rows, options.json)


if __name__ == "__main__":
    main()
