"""What edgeft's timing adds to a query: its latency pass against a bare onnxruntime loop on the same inputs.

    python -m benchmarks.overhead BUNDLE [--variant int8] [--rounds 10] [--seconds 2] [--json FILE]

Same process, same session, blocks of both taking turns in ABBA order. The figure is the median; the ratio has a 95 %
interval over block pairs. Required: within 1 % of the bare loop.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.table import Row, arguments, show
from edgeft.bundle import Bundle
from edgeft.evaluation import schedule, stats
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.schedule import BlockRule
from edgeft.evaluation.session import OrtModel, feed_for, open_model, settings_for
from edgeft.evaluation.timing import Pace, RealTicks
from edgeft.profile import load_profile
from edgeft.tasks import TASKS
from edgeft.tasks.eval_examples import read_examples


def bare_loop(model: OrtModel, feeds: list, seconds: float) -> float:
    """Median seconds of `session.run`, written as anybody would."""
    session, output = model.session, [model.session.get_outputs()[0].name]
    times = []
    stop = time.perf_counter() + seconds
    i = 0
    while time.perf_counter() < stop:
        start = time.perf_counter_ns()
        session.run(output, feeds[i % len(feeds)])
        times.append(time.perf_counter_ns() - start)
        i += 1
    return float(np.median(times)) / 1e9


def timed(model: OrtModel, feeds: list, seconds: float) -> float:
    rule = BlockRule(1, seconds, 10 * seconds)
    return float(np.median(model.time(feeds, rule, Pace(), RealTicks()))) / 1e9


def compare(path: Path, variant: str, rounds: int, seconds: float) -> list[Row]:
    bundle = Bundle.open(path)
    task = TASKS.load(bundle.task)
    samples = Samples(read_examples(bundle.path, bundle.labels), task.encoder(bundle.preprocessing, bundle.path))
    settings = settings_for(load_profile("auto"), None, None, paced=False)
    model = open_model(bundle.file_of(variant), settings, bundle.document["outputs"][0]["name"])
    feeds = [feed_for(model, arrays, variant) for _, arrays in next(samples.windows(0))]
    systems = {"bare loop": bare_loop, "edgeft": timed}
    medians: dict[str, list[float]] = {name: [] for name in systems}
    for name in systems:
        systems[name](model, feeds, seconds)
    for order in schedule.rounds(list(systems), rounds, seed=0):
        for name in order:
            medians[name].append(systems[name](model, feeds, seconds))
    ratio = stats.paired_ratio(medians["edgeft"], medians["bare loop"])
    print(f"edgeft / bare loop: {ratio.point:.4f}, 95 % interval {ratio.low:.4f} to {ratio.high:.4f}")
    label = f"{bundle.path.name}/{variant}"
    bare, ours = (1000 * float(np.median(medians[name])) for name in ("bare loop", "edgeft"))
    return [
        Row("bare loop", label, "latency p50", bare, "ms", 1.0),
        Row("edgeft", label, "latency p50", ours, "ms", ratio.point),
    ]


def main() -> None:
    parser = arguments("edgeft's latency pass against a bare onnxruntime loop")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    show("overhead", compare(given.bundle, given.variant, given.rounds, given.seconds), given.json)


if __name__ == "__main__":
    main()
