"""`edgeft tune --repeats N`: the same command with N seeds, and what the test metric is on average.

    RUN               the run of the first seed, as the command without --repeats leaves it
    RUN.repeats/SEED  the others, without their weights

A seed decides the order of examples, how they are varied and the new weights; where edgeft made the splits, also those.
Which run is kept was decided before any was scored: the best of N on test would promise more than it holds.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft import console, files, ranks
from edgeft.data.assemble import AS_GIVEN
from edgeft.data.dataset import Dataset
from edgeft.errors import UsageError
from edgeft.evaluation.stats import mean_interval
from edgeft.recipe import TuneSpec
from edgeft.runfolder import DOCUMENT, WEIGHTS, Run
from edgeft.tuning import processes
from edgeft.tuning.card import CARD, card

TuneOn = Callable[..., "Run | None"]


def refuse_both(spec: TuneSpec) -> None:
    if spec.search and spec.repeats > 1:
        raise UsageError(
            "--search and --repeats do not go together", "search first, then repeat with the settings it found"
        )


def folder_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.repeats")


def repeat(spec: TuneSpec, dataset: Dataset, read: Callable[[int], Dataset], tune_on: TuneOn) -> Run:
    """One run for each of the seeds spec.seed, spec.seed + 1, …; the first one's stands in spec.output.

    dataset  read with the first seed
    read     examples in splits that another seed makes
    tune_on  does one run: (spec, dataset) -> Run
    """
    runs = [tune_on(spec, dataset)]
    for seed in range(spec.seed + 1, spec.seed + spec.repeats):
        folder = folder_of(spec.output) / str(seed)
        one = dataclasses.replace(spec, seed=seed, output=folder, resume=folder.exists())
        with console.quieter():
            run = tune_on(one, dataset if dataset.split_rule == AS_GIVEN else read(seed))
        assert run is not None
        for part in WEIGHTS if ranks.first() else ():
            shutil.rmtree(folder / part, ignore_errors=True)
        console.say(f"seed {seed}, test: " + ", ".join(f"{name} {_test(run, name):.4f}" for name in _states(run)))
        runs.append(run)
    assert all(run is not None for run in runs)
    record = _record(spec, [run for run in runs if run is not None], dataset)
    for line in lines(record):
        console.result(line)
    return processes.once(lambda: _kept(spec.output, record))


def _states(run: Run) -> list[str]:
    return [name for name in run.document["scores"] if name != "original"]


def _test(run: Run, state: str) -> float:
    return float(run.scores_of(state)["test"]["value"])


def _record(spec: TuneSpec, runs: Sequence[Run], dataset: Dataset) -> dict[str, Any]:
    """For tuned.json: seeds, how the splits came about, and the test metric of every state with its interval."""
    made = dataset.split_rule != AS_GIVEN
    # Splits that are drawn anew share most examples, so that scores on them differ less than scores on new data would.
    shared = len(dataset.splits["test"]) / len(dataset.splits["train"]) if made else 0.0
    test = {}
    for state in _states(runs[0]):
        values = [_test(run, state) for run in runs]
        mean, low, high = mean_interval(values, shared)
        test[state] = {"values": values, "mean": mean, "ci95": [max(low, 0.0), min(high, 1.0)]}
    seeds = [spec.seed + number for number in range(len(runs))]
    splits = "made anew with each seed" if made else AS_GIVEN
    return {"seeds": seeds, "kept": spec.seed, "splits": splits, "metric": runs[0].metric, "test": test}


def lines(record: Mapping[str, Any]) -> list[str]:
    """The record for a person: mean and interval of every state, and which run is kept."""
    n, test = len(record["seeds"]), record["test"]
    width = max(map(len, test))
    table = [
        f"  {name:<{width}}  {one['mean']:.4f} [{one['ci95'][0]:.4f}, {one['ci95'][1]:.4f}]"
        f"  lowest {min(one['values']):.4f}, highest {max(one['values']):.4f}"
        for name, one in test.items()
    ]
    head = f"{n} seeds, splits {record['splits']}: mean test {record['metric']} and its 95 % interval"
    return [head, *table, f"the run of seed {record['kept']}, the first, is kept: none was chosen by its score"]


def _kept(output: Path, record: Mapping[str, Any]) -> Run:
    document = json.loads((output / DOCUMENT).read_text(encoding="utf-8"))
    if document.get("repeats") != record:
        document["repeats"] = dict(record)
        files.write_text(output / CARD, card(document))
        files.write_json(output / DOCUMENT, document)
    return Run.open(output)

