"""How long a result takes to open: `Result.open` of an evaluation of so many samples, and all its raw samples.

    python -m benchmarks.opening [RESULT] [--samples 5000] [--json FILE]

Required: result.json of a bundle with 5,000 samples in under a second. Without a RESULT, one is measured first (preset
quick, a small model).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.table import Row, arguments, show
from edgeft.evaluation.result import Result
from edgeft.evaluation.run import evaluate
from edgeft.report import print_as
from edgeft.specs import EvalSpec
from tests.evaluation.make_bundle import make_bundle

ALLOWED_S = 1.0


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return statistics.median(found)


def compare(path: Path) -> list[Row]:
    result = Result.open(path)
    label = f"{result.document['data']['n']} samples"
    works: dict[str, Callable[[], Any]] = {
        "result.json": lambda: Result.open(path),
        "samples.npz": result.samples,
        "report as text": lambda: print_as("text", result),
        "report as HTML": lambda: print_as("html", result),
    }
    rows = [Row("required", label, "at most", ALLOWED_S, "s", 1.0)]
    for name, work in works.items():
        took = seconds(work)
        rows.append(Row(name, label, "open", took, "s", took / ALLOWED_S))
    return rows


def main() -> None:
    parser = arguments("How long a result takes to open.")
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--samples", type=int, default=5000)
    given = parser.parse_args()
    if given.result is not None:
        show("opening", compare(given.result), given.json)
        return
    with tempfile.TemporaryDirectory(prefix="edgeft-") as folder:
        bundle = make_bundle(Path(folder) / "bundle", n=given.samples)
        result = Path(folder) / "result"
        evaluate(EvalSpec(bundle=bundle.path, output=result, preset="quick", profile="generic", meter="none"))
        show("opening", compare(result), given.json)


if __name__ == "__main__":
    main()
