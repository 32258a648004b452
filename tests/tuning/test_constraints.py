"""A search that keeps to limits of the target: what is measured, which trial wins, and what is said when none does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="the package optuna is not installed")

from edgeft.budget import Limit, parse_budget
from edgeft.errors import BudgetMissed, UsageError
from edgeft.recipe import TuneSpec
from edgeft.runfolder import Run
from edgeft.tuning import constraints, search
from edgeft.tuning.constraints import Kept
from tests.tuning import small

SPEC = TuneSpec(model="m", data="d", search=3)


def test_limits_of_the_device_are_the_searches_and_accuracy_is_that_of_auto() -> None:
    given = dataclasses.replace(SPEC, budget="size<=4MB,accuracy>=-0.5pt,latency_p90<=0.5x", keep_float=("auto",))
    spec, limits = constraints.split(given)
    assert spec.budget == "accuracy>=-0.5pt"
    assert [limit.text for limit in limits] == ["size<=4MB", "latency_p90<=0.5x"]
    assert constraints.split(SPEC) == (SPEC, ())
    for budget in ("energy<=3mJ", "size<=4MB,accuracy>=90%"):
        with pytest.raises(UsageError, match="--search cannot keep to"):
            constraints.split(dataclasses.replace(SPEC, budget=budget))


def test_over_is_a_share_of_the_bound() -> None:
    document = {"baseline": "float32", "variants": {"float32": {"size_bytes": 5_000_000}}}
    (limit,) = parse_budget("size<=4MB")
    assert constraints._kept(limit, "float32", document) == Kept("size<=4MB", 5e6, 0.25)
    assert constraints.total_over([{"over": 0.25}, {"over": -0.5}, {"over": 0.5}]) == 0.75
    assert constraints.total_over([{"over": 0.0}, {"over": -0.5}]) == 0


def test_sizes_are_those_of_the_exported_files(tune_on: Any, tmp_path: Path) -> None:
    run = tune_on(small.text_dataset(tmp_path / "data"), model=str(small.save_bert(tmp_path / "m")), scheme="none")
    (absolute,) = constraints.measure(run, parse_budget("size<=1MB"))
    parameters = sum(one.numel() for one in _tensors(run))
    assert 4 * parameters <= absolute.value < 1e6 and absolute.over == pytest.approx(absolute.value / 1e6 - 1)


def _tensors(run: Run) -> Any:
    from edgeft.quant.store import load_file

    return load_file(run.float_model / "model.safetensors").values()


def fake_measure(over: dict[str, float]) -> Any:
    def measure(run: Run, limits: tuple[Limit, ...]) -> list[Kept]:
        return [Kept(limit.text, 4e6 * (1 + over[run.path.name]), over[run.path.name]) for limit in limits]

    return measure


def options(tmp_path: Path) -> dict[str, Any]:
    model = str(small.save_bert(tmp_path / "bert"))
    return {
        "model": model, "scheme": "none", "freeze": "none", "search": 3, "batch_size": 8, "budget": "size<=4MB",
        "augment": "none", "seed": 3,
    }  # fmt: skip


def test_a_trial_that_keeps_the_limit_beats_a_better_one_that_does_not(
    tune_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"0": 0.9, "1": 0.6, "2": 0.7}
    monkeypatch.setattr(search, "measure", fake_measure({"0": 0.25, "1": -0.1, "2": -0.2}))
    monkeypatch.setattr(search, "_score", lambda run: scores[run.path.name])
    run = tune_on(small.text_dataset(tmp_path / "data"), **options(tmp_path))
    found = run.document["search"]
    assert (found["best"], found["validation"]) == (2, 0.7)
    assert found["budget"] == [{"text": "size<=4MB", "value": pytest.approx(3.2e6), "over": -0.2}]
    lines = (run.path / "search.txt").read_text().splitlines()
    assert lines[0].split()[:3] == ["trial", "validation", "size<=4MB"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "1", "0"]
    assert "5 MB over" in lines[3] and "over" not in lines[1]
    run.vouch_for(run.float_model)


def test_when_none_keeps_it_the_nearest_stands_and_the_command_says_so(
    tune_on: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "measure", fake_measure({"0": 0.5, "1": 0.125, "2": 0.25}))
    with pytest.raises(BudgetMissed, match=r"no trial keeps size<=4MB: the nearest one.* is 12.5 % over size<=4MB"):
        tune_on(small.text_dataset(tmp_path / "data"), **options(tmp_path))
    assert Run.open(tmp_path / "run").document["search"]["best"] == 1
