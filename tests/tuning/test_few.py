"""Few examples: what is chosen and said, and the same command with several seeds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgeft.data.assemble import AS_GIVEN
from edgeft.data.dataset import Dataset
from edgeft.errors import FolderError, UsageError
from edgeft.evaluation.stats import mean_interval
from edgeft.recipe import TuneSpec
from edgeft.runfolder import Run
from edgeft.tuning import repeats, run
from edgeft.tuning.few import FEW, chosen, examples_a_class, few_lines
from tests.tuning import small

SPEC = TuneSpec(model="m", data="d")


def data(tmp_path: Path, train: int) -> Dataset:
    return small.text_dataset(tmp_path, {"train": train, "validation": 2, "test": 2})


def test_more_passes_and_views_with_few_examples(tmp_path: Path) -> None:
    few, enough = chosen(SPEC, data(tmp_path, FEW)), chosen(SPEC, data(tmp_path, FEW + 1))
    assert (enough.epochs, enough.views) == (3.0, 4)
    assert few.epochs > enough.epochs and few.views > enough.views


def test_few_of_each_of_many_classes_are_not_passed_over_so_often(tmp_path: Path) -> None:
    two = data(tmp_path, 60)
    many = dataclasses.replace(two, labels=tuple(map(str, range(40))), splits={"train": two.splits["train"] * 20})
    assert examples_a_class(many) == 60
    # 2,400 examples: 300 steps of 32 are 4 passes
    assert (chosen(SPEC, two).epochs, chosen(SPEC, many).epochs) == (20.0, 4.0)


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    given = dataclasses.replace(SPEC, epochs=0.0, views=2)
    found = chosen(given, data(tmp_path, 8))
    assert (found.epochs, found.views) == (0.0, 2)


def test_what_was_chosen_is_said(tmp_path: Path) -> None:
    few = data(tmp_path, 8)
    (line,) = few_lines(SPEC, few)
    assert line.startswith("few examples (8 a class in train), so --epochs ") and "--repeats 5" in line
    assert "--repeats" not in few_lines(dataclasses.replace(SPEC, repeats=3), few)[0]
    (rest,) = few_lines(dataclasses.replace(SPEC, epochs=1.0), few)
    assert "so --views 16" in rest and "--epochs" not in rest
    assert few_lines(dataclasses.replace(SPEC, epochs=1.0, views=2), few) == []
    assert few_lines(SPEC, data(tmp_path, FEW + 1)) == []


def options(tmp_path: Path) -> dict[str, Any]:
    return {"model": str(small.save_bert(tmp_path / "m")), "scheme": "none", "repeats": 3, "seed": 7, "epochs": 2.0}


def test_three_seeds_one_mean_and_the_first_run_is_kept(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    dataset = dataclasses.replace(small.text_dataset(tmp_path / "data"), split_rule=AS_GIVEN)
    whole = tune_on(dataset, **options(tmp_path))
    said = capsys.readouterr().out
    found = whole.document["repeats"]
    assert (found["seeds"], found["kept"], found["splits"]) == ([7, 8, 9], 7, "as given")
    values = [whole.scores_of("float")["test"]["value"]]
    values += [Run.open(tmp_path / "run.repeats" / str(s)).scores_of("float")["test"]["value"] for s in (8, 9)]
    assert found["test"]["float"]["values"] == values
    mean, low, high = mean_interval(values)
    assert found["test"]["float"]["mean"] == mean
    assert found["test"]["float"]["ci95"] == [max(low, 0), min(high, 1)]
    assert f"float  {mean:.4f} [" in said and "the run of seed 7, the first, is kept" in said
    assert not list((tmp_path / "run.repeats").rglob("*.safetensors"))
    whole.vouch_for(whole.float_model)
    assert f"Over 3 seeds, fine-tuned: mean test score {mean:.4f}" in (whole.path / "README.md").read_text()
    alone = tune_on(dataset, **{**options(tmp_path), "repeats": 1}, output=tmp_path / "alone")
    assert alone.document["scores"] == whole.document["scores"]
    assert alone.document["weights"] == whole.document["weights"]


def test_a_kill_goes_on_with_the_seeds_that_are_left(tune_on: Any, tmp_path: Path, monkeypatch: Any) -> None:
    dataset, done = dataclasses.replace(small.text_dataset(tmp_path / "data"), split_rule=AS_GIVEN), []
    real = run.tune_on

    def die(spec: Any, *args: Any) -> Any:
        if spec.seed == 8 and not done:
            done.append(spec)
            raise KeyboardInterrupt
        return real(spec, *args)

    monkeypatch.setattr(run, "tune_on", die)
    with pytest.raises(KeyboardInterrupt):
        tune_on(dataset, **options(tmp_path))
    assert "repeats" not in Run.open(tmp_path / "run").document
    with pytest.raises(FolderError, match="add --resume"):
        tune_on(dataset, **options(tmp_path))
    assert len(tune_on(dataset, **options(tmp_path), resume=True).document["repeats"]["seeds"]) == 3


def test_splits_that_edgeft_makes_are_made_anew_and_widen_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "card", str)
    scores = {1: 0.5, 2: 0.6, 3: 0.9}
    dataset = dataclasses.replace(small.text_dataset(tmp_path / "data"), split_rule="10 % of each class for test")
    asked: list[int] = []

    def fake(spec: TuneSpec, examples: Dataset) -> Run:
        assert (examples is dataset) == (spec.seed == 1)
        one = {"metric": "accuracy", "value": scores[spec.seed], "n": 24}
        document = {"scores": {"float": {"test": one, "validation": one}}, "metric": "accuracy", "state": "complete",
                    **{name: "x" for name in ("task", "labels", "preprocessing", "data", "model", "scheme")},
                    "schema": "edgeft-run/1"}  # fmt: skip
        spec.output.mkdir(parents=True)
        (spec.output / "tuned.json").write_text(json.dumps(document))
        return Run(spec.output, document)

    def read(seed: int) -> Dataset:
        asked.append(seed)
        return dataclasses.replace(dataset)

    spec = dataclasses.replace(SPEC, repeats=3, seed=1, output=tmp_path / "run")
    found = repeats.repeat(spec, dataset, read, fake).document["repeats"]
    assert asked == [2, 3] and found["splits"] == "made anew with each seed"
    _, low, _ = mean_interval([0.5, 0.6, 0.9], 24 / 48)
    assert found["test"]["float"]["ci95"] == [max(low, 0.0), 1.0]


def test_search_and_repeats_exclude_each_other(tune_on: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--search and --repeats do not go together; search first"):
        tune_on(small.text_dataset(tmp_path / "data"), **options(tmp_path), search=2)
