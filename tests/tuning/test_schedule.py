"""Gradual unfreezing: who learns when, what is proved of the rest, and going on after a kill between stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from edgeft.errors import UsageError
from edgeft.quant import store
from edgeft.tuning import floating
from edgeft.tuning.schedule import Passed, kinds_and_epochs, stages
from edgeft.tuning.trainer import Recipe, Trained
from edgeft.tuning.watch import Watch
from tests.tuning import small


def test_the_last_stage_takes_what_is_left() -> None:
    assert kinds_and_epochs("backbone:1,last:2:1.5,none", 4) == [("backbone", 1.0), ("last:2", 1.5), ("none", 1.5)]
    assert kinds_and_epochs("last:2", 3) == [("last:2", 3)]
    assert kinds_and_epochs("regex:a,b:1", 3) == [("regex:a,b:1", 3)]


@pytest.mark.parametrize(("freeze", "epochs"), [("backbone:3,none", 3.0), ("backbone:0,none", 3.0)])
def test_a_stage_without_epochs_is_refused(freeze: str, epochs: float) -> None:
    with pytest.raises(UsageError, match="takes . epochs before its last stage, and --epochs is 3"):
        kinds_and_epochs(freeze, epochs)


def entry(name: str, before: str, after: str) -> dict[str, str]:
    return {"name": name, "sha256_before": before, "sha256_after": after}


def test_the_record_keeps_what_was_still_in_every_stage() -> None:
    first, second = stages([("backbone", 1.0), ("lora", 2.0)], [1e-2, 1e-3], Recipe(3.0, 8, 0.0))
    assert (first.name, second.name, second.recipe.lr, second.recipe.epochs) == ("float-1", "float-2", 1e-3, 2.0)
    passed = Passed().then(first, Trained(0.5, 0.75, 6), [entry("a", "1", "1"), entry("b", "2", "2")])
    still = [entry("a", "1", "1"), entry("b.base_layer.weight", "2", "2")]
    record = passed.then(second, Trained(0.75, 1.5, 12), still).record
    assert record["frozen"] == [entry("a", "1", "1")]
    assert (record["best_epoch"], record["steps"]) == (2.5, 18)
    assert record["stages"][1]["lora"]["merged_into"] == ["b.weight"]
    # a stage that made nothing better leaves the best epoch where it was
    assert passed.then(second, Trained(0.5, 0.0, 12), still).record["best_epoch"] == 0.75


def text(tmp_path: Path) -> dict[str, Any]:
    model = str(small.save_bert(tmp_path / "bert"))
    return {"model": model, "epochs": 3.0, "freeze": "backbone:1,last:1:1,none", "lr": 1e-3}


def test_stages_unfreeze_one_after_the_other(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    run = tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), qat_epochs=0.0)
    said = capsys.readouterr().out
    assert "stage 2 of 3: --freeze last:1, 1 epochs" in said and "learning rate" in said
    first, second, third = run.document["stages"]
    # seven tensors of the embeddings (two are buffers), 16 of each block, two of the pooler after the last block
    assert [stage["frozen_tensors"] for stage in (first, second, third)] == [7 + 2 * 16 + 2, 7 + 16, 0]
    assert run.document["frozen"] == []
    lines = [line.split('"')[3] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(lines)) == ["float-1", "float-2", "float-3"]


def test_lora_ends_as_a_plain_model_that_is_quantized(tune_on: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the package peft is not installed")
    options = {**text(tmp_path), "freeze": "lora", "lr": 1e-2, "epochs": 6.0}
    dataset = small.text_dataset(tmp_path / "data", {"train": 80, "validation": 12, "test": 12})
    run = tune_on(dataset, **options, qat_epochs=1.0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run.float_model)
    given = transformers.AutoModel.from_pretrained(options["model"])
    changed = {
        name for name, parameter in given.named_parameters()
        if not torch.equal(parameter, model.get_parameter(f"bert.{name}"))
    }  # fmt: skip
    stage = run.document["stages"][0]
    assert stage["lora"] == {"rank": 16, "alpha": 32, "merged_into": stage["lora"]["merged_into"]}
    assert {f"bert.{name}" for name in changed} == set(stage["lora"]["merged_into"])
    assert len(stage["lora"]["merged_into"]) == 13
    frozen = {e["name"] for e in run.document["frozen"]}
    assert "bert.embeddings.word_embeddings.weight" in frozen and not frozen & set(stage["lora"]["merged_into"])
    assert run.scores_of("quantized")["test"]["value"] > 0.8


class Killed(BaseException):
    pass


@pytest.mark.parametrize("freeze", ["backbone:1,last:1:1,none", "backbone:1,lora"])
def test_a_kill_between_and_inside_stages_leads_to_the_same_end(
    tune_on: Any, tmp_path: Path, monkeypatch: Any, freeze: str
) -> None:  # T09
    if "lora" in freeze:
        pytest.importorskip("peft", reason="the package peft is not installed")
    dataset, options = small.text_dataset(tmp_path / "data"), {**text(tmp_path), "freeze": freeze, "scheme": "none"}
    whole = tune_on(dataset, **options, output=tmp_path / "whole")
    real, last = floating.train_phase, f"float-{freeze.count(',') + 1}"

    def die(name: str, *args: Any, **rest: Any) -> Any:
        outcome = real(name, *args, **rest)
        if name == last:
            raise Killed
        return outcome

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(floating, "train_phase", die)
        tune_on(dataset, **options, output=tmp_path / "killed")
    resumed = tune_on(dataset, **options, output=tmp_path / "killed", resume=True)
    assert resumed.document["stages"] == whole.document["stages"]
    assert resumed.document["scores"] == whole.document["scores"]
    first, second = (store.load_file(run.float_model / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("freeze", ["backbone:1,none", "backbone:1,lora"])
def test_a_kill_in_the_middle_of_a_stage_goes_on_from_its_last_checkpoint(
    tune_on: Any, tmp_path: Path, monkeypatch: Any, capsys: Any, freeze: str
) -> None:  # T09
    if "lora" in freeze:
        pytest.importorskip("peft", reason="the package peft is not installed")
    dataset, options = small.text_dataset(tmp_path / "data"), {**text(tmp_path), "freeze": freeze, "scheme": "none"}
    whole = tune_on(dataset, **options, output=tmp_path / "whole")
    real = Watch.on_step_end

    def die(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        real(self, args, state, control, **rest)
        if self._phase == "float-2" and state.global_step == 8:  # six steps an epoch
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Watch, "on_step_end", die)
        tune_on(dataset, **options, output=tmp_path / "killed")
    resumed = tune_on(dataset, **options, output=tmp_path / "killed", resume=True)
    assert "float-2: going on from checkpoint-6" in capsys.readouterr().out
    assert resumed.document["stages"] == whole.document["stages"]
    first, second = (store.load_file(run.float_model / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
