"""A search: what is tried, what stands at the end, joining, and going on after a kill."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import transformers

from edgeft.errors import FolderError, MachineError, UsageError
from edgeft.recipe import TuneSpec
from edgeft.tuning import study as studies
from edgeft.tuning.space import space, usual
from tests.tuning import small

optuna = pytest.importorskip("optuna", reason="the package optuna is not installed")

from edgeft.tuning.trials import table  # noqa: E402


def bert() -> Any:
    transformers.set_seed(0)
    return transformers.BertForSequenceClassification(small.bert_config())


def test_what_was_given_is_not_searched() -> None:
    spec = TuneSpec(model="m", data="d")
    assert set(space(spec, bert(), "text", True, 100)) == {
        "freeze", "batch_size", "weight_decay", "lr", "calibration", "qat_lr", "learn_ranges",
    }  # fmt: skip
    given = dataclasses.replace(spec, freeze="none", batch_size=8, lr=1e-3)
    assert set(space(given, bert(), "image", False, 100)) == {"weight_decay", "augment"}
    assert "lr" not in space(dataclasses.replace(spec, freeze="backbone:1,none"), bert(), "text", False, 100)


def test_the_rate_is_a_factor_of_the_usual_one() -> None:
    trial = optuna.trial.FixedTrial({"freeze": "backbone", "batch_size": 16, "weight_decay": 0.01, "lr_factor": 2.0})
    chosen = {field: suggest(trial) for field, suggest in
              space(TuneSpec(model="m", data="d"), bert(), "text", False, 20).items()}  # fmt: skip
    assert chosen == {"freeze": "backbone", "batch_size": 16, "weight_decay": 0.01, "lr": 6e-3}


def test_the_usual_values_are_the_defaults_and_can_be_chosen() -> None:
    spec = TuneSpec(model="m", data="d")
    trial = optuna.trial.FixedTrial(usual("image"))
    found = {field: suggest(trial) for field, suggest in space(spec, bert(), "image", True, 100).items()}
    assert found.pop("lr") == 3e-3 and found.pop("augment") == "crop"
    assert found == {field: getattr(spec, field) for field in found}


def options(tmp_path: Path) -> dict[str, Any]:
    model = str(small.save_bert(tmp_path / "bert"))
    return {"model": model, "scheme": "none", "freeze": "none", "search": 4, "batch_size": 8, "epochs": 2.0}


def test_the_best_run_stands_at_the_end_and_the_others_lose_their_weights(
    tune_on: Any, tmp_path: Path, capsys: Any
) -> None:
    dataset = small.text_dataset(tmp_path / "data")
    run = tune_on(dataset, **options(tmp_path))
    found = run.document["search"]
    assert found["validation"] == run.scores_of("float")["validation"]["value"]
    settings = run.document["settings"]
    assert {name: settings[name] for name in found["chosen"]} == found["chosen"]
    assert set(found["chosen"]) == {"weight_decay", "lr"}
    run.vouch_for(run.float_model)
    lines = (run.path / "search.txt").read_text().splitlines()
    assert lines[0].split() == ["trial", "validation", "weight_decay", "lr"] and len(lines) == 5
    assert lines[1].split()[:2] == [str(found["best"]), f"{found['validation']:.4f}"]
    assert (run.path / "search.png").is_file()
    assert not list((tmp_path / "run.search").rglob("*.safetensors"))
    assert capsys.readouterr().out.count("on validation with") == 4 - sum("given up" in line for line in lines)
    # a larger number goes on with the same study, and keeps the better run
    with pytest.raises(FolderError, match="already holds a run"):
        tune_on(dataset, **options(tmp_path))
    more = tune_on(dataset, **{**options(tmp_path), "search": 5}, resume=True)
    assert more.document["search"]["validation"] >= found["validation"]
    assert len((tmp_path / "run.search" / "search.txt").read_text().splitlines()) == 6


def test_the_same_seed_tries_the_same_values(tmp_path: Path) -> None:
    def tried(folder: str, seed: int) -> list[dict[str, Any]]:
        study = studies.open_study("s", f"sqlite:///{tmp_path / folder}.db", seed)
        studies.run_trials(study, lambda trial: -((trial.suggest_float("x", -1, 1) - 0.3) ** 2), 8)
        return [trial.params for trial in study.trials]

    first, again, other = tried("a", 0), tried("b", 0), tried("c", 1)
    assert first == again != other
    assert len({params["x"] for params in first}) == 8


def test_a_trial_that_ends_in_an_error_of_training_is_given_up_and_said(
    tune_on: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    from edgeft.errors import ModelError
    from edgeft.tuning import floating

    real, calls = floating.train_phase, []

    def diverge(*args: Any, **rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ModelError("training diverged", "lower --lr")
        return real(*args, **rest)

    monkeypatch.setattr(floating, "train_phase", diverge)
    run = tune_on(small.text_dataset(tmp_path / "data"), **{**options(tmp_path), "search": 2})
    assert run.document["search"]["best"] == 1
    assert "given up: training diverged" in (run.path / "search.txt").read_text()


def test_the_table_has_the_best_first() -> None:
    def trial(number: int, state: str, value: float | None, **chosen: Any) -> Any:
        attributes = {"chosen": chosen, "why": "behind the others"}
        return SimpleNamespace(number=number, state=SimpleNamespace(name=state), value=value, user_attrs=attributes)

    ended = trial(0, "COMPLETE", 0.5, lr=0.001), trial(1, "PRUNED", None, lr=0.1), trial(2, "COMPLETE", 0.75, lr=3e-4)
    assert table(ended) == [
        "trial  validation                   lr",
        "2      0.7500                       0.0003",
        "0      0.5000                       0.001",
        "1      given up: behind the others  0.1",
    ]


def test_a_missing_package_and_a_wrong_storage_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--storage nothing://x cannot be opened"):
        studies.open_study("s", "nothing://x", 0)
    monkeypatch.setattr(studies, "is_installed", lambda name: False)
    with pytest.raises(MachineError, match=r"needs the package optuna; pip install 'edgeft\[search\]'"):
        studies.refuse_missing()


WORKER = """
    import os, sys
    from edgeft.tuning import study as studies
    studies.HEARTBEAT_S, studies.GRACE_S, studies._POLL_S = 1, 2, 0.2
    study = studies.open_study("s", sys.argv[1], 0)
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        if trial.number == int(sys.argv[2]):
            os._exit(9)
        return x
    studies.run_trials(study, objective, 4)
    print([(trial.state.name, trial.params["x"]) for trial in study.trials])
"""


def test_a_trial_of_a_killed_worker_is_taken_up_with_its_values(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    killed, resumed = (
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(WORKER), url, number], capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
        )
        for number in ("1", "-1")
    )  # fmt: skip
    assert killed.returncode == 9 and resumed.returncode == 0, resumed.stderr
    trials = json.loads(resumed.stdout.replace("(", "[").replace(")", "]").replace("'", '"'))
    assert [state for state, _ in trials].count("COMPLETE") == 4
    assert trials[1][0] == "FAIL" and ["COMPLETE", trials[1][1]] in trials
