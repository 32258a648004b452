"""Tagged sentences through all three steps, with a random BERT of two layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeft.bundle import Bundle
from edgeft.data.read import read_dataset
from edgeft.errors import DataError, UsageError
from edgeft.evaluation.result import Result
from edgeft.evaluation.run import evaluate
from edgeft.exporting.run import export
from edgeft.recipe import TuneSpec
from edgeft.runfolder import Run
from edgeft.specs import EvalSpec, ExportSpec
from edgeft.tasks.entities import f1
from edgeft.tuning.run import tune
from tests.evaluation.shortened import shorten
from tests.tuning.small import FILLER, WORDS, save_bert

torch.set_num_threads(1)
MAX_LENGTH = 8


def sentences(n: int, seed: int) -> str:
    """Words of two types of entities between fillers, 3 to 14 words; an entity is one or two words of its type."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(n):
        for _ in range(rng.integers(1, 4)):
            lines += [f"{word} O" for word in rng.choice(FILLER, rng.integers(1, 3))]
            kind = rng.choice(list(WORDS))
            found = rng.choice(WORDS[kind], rng.integers(1, 3))
            lines += [f"{word} {'I' if at else 'B'}-{kind}" for at, word in enumerate(found)]
        lines.append("")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(run, bundle, data): tuned with windows of eight tokens, so that most sentences are longer than one."""
    folder = tmp_path_factory.mktemp("tagged")
    data = folder / "data"
    data.mkdir()
    for split, n in (("train", 128), ("dev", 24), ("test", 32)):
        (data / f"{split}.conll").write_text(sentences(n, len(split)), encoding="utf-8")
    model = save_bert(folder / "model")
    tune(TuneSpec(
        model=str(model), data=str(data), output=folder / "run", profile="x86-64-vnni", freeze="none", epochs=10.0,
        qat_epochs=1.0, lr=3e-3, batch_size=8, max_length=MAX_LENGTH, calibration_samples=64, device="cpu",
    ))  # fmt: skip
    export(ExportSpec(run=folder / "run", output=folder / "bundle", profile="x86-64-vnni"))
    return folder / "run", folder / "bundle", data


@pytest.fixture(scope="module")
def result(places: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch.setitem, patch.setattr)
        output = tmp_path_factory.mktemp("eval") / "result"
        found = evaluate(EvalSpec(
            bundle=places[1], output=output, preset="quick", profile="generic", threads=1, meter="none"
        ))  # fmt: skip
    assert found is not None
    return found


def test_the_run_learnt_and_says_what_it_did(places: tuple[Path, Path, Path]) -> None:
    run = Run.open(places[0])
    assert (run.task, run.metric) == ("token-classification", "f1")
    assert run.labels == ("O", *(f"{prefix}-{kind}" for kind in sorted(WORDS) for prefix in "BI"))
    assert run.scores_of("float")["test"]["value"] > 0.75
    assert run.scores_of("quantized")["test"]["value"] > run.scores_of("float")["test"]["value"] - 0.05
    assert run.scores_of("float")["test"]["n"] == 32  # sentences, not windows
    fit = run.dataset["checks"]["sentences"]
    assert fit["limit_tokens"] == MAX_LENGTH and fit["in_windows"]["test"] > 0
    assert fit["windows"]["test"] >= 2 * fit["in_windows"]["test"]
    tagged = (places[2] / "train.conll").read_text()
    assert run.dataset["counts"]["train"] == {kind: tagged.count(f"B-{kind}") for kind in sorted(WORDS)}


def test_the_bundle_passed_every_check_with_integer_products_only(places: tuple[Path, Path, Path]) -> None:
    bundle = Bundle.open(places[1])
    assert bundle.document["passed"]
    for name in ("int8-ptq", "int8"):
        coverage = bundle.variants[name]["integer_coverage"]
        assert coverage["integer"] == coverage["all"] > 0
    assert bundle.document["outputs"][0]["shape"] == ["batch", "sequence", 5]
    assert {"torch", "file", "optimized"} == set(bundle.variants["float32"]["parity"]["f1"])
    assert bundle.preprocessing["kind"] == "words"


def test_the_device_finds_the_f1_of_the_run(places: tuple[Path, Path, Path], result: Result) -> None:
    entry = result.document["variants"]["float32"]["accuracy"]
    assert entry["metric"] == "f1" and entry["n"] == 32
    assert entry["value"] == pytest.approx(Run.open(places[0]).scores_of("float")["test"]["value"], abs=0.02)
    assert set(entry["per_class"]) == set(WORDS) and 0 < entry["token_accuracy"] <= 1


def test_every_word_of_every_sentence_has_one_answer(places: tuple[Path, Path, Path], result: Result) -> None:
    stored = result.samples()
    examples = read_dataset(str(places[2]), seed=0).splits["test"]
    assert stored["labels"].tolist() == [label for example in examples for label in example.label]
    assert stored["int8/logits"].shape == (len(stored["labels"]), 5)
    assert np.bincount(stored["owners"]).tolist() == [len(example.label) for example in examples]
    assert stored["positions"][-1] + 1 > len(examples)  # windows


def test_the_difference_is_that_of_the_counts_and_its_interval_holds_it(result: Result) -> None:
    compared = result.document["comparisons"]["int8"]["accuracy"]
    values = {name: result.document["variants"][name]["accuracy"]["value"] for name in ("original", "int8")}
    assert compared["metric"] == "f1" and "mcnemar_p" not in compared
    assert compared["diff"] == pytest.approx(values["int8"] - values["original"])
    assert compared["ci95"][0] <= compared["diff"] <= compared["ci95"][1]
    assert f1(np.array([3, 4, 5])) == 6 / 9


def test_the_reports_speak_of_f1_and_show_words_with_tags(result: Result) -> None:
    text = (result.path / "report.md").read_text()
    assert "| variant | F1 |" in text and "precision over entities" in text
    changed = result.changed()["variants"]
    for entry in (one for told in changed.values() for one in told["samples"]):
        assert len(entry["tokens"]) == len(entry["tags"]) == len(entry["before"]) == len(entry["after"])
        assert entry["before"] != entry["after"]


def test_examples_of_the_bundle_are_whole_sentences(places: tuple[Path, Path, Path]) -> None:
    lines = (places[1] / "eval/examples.jsonl").read_text().splitlines()
    assert len(lines) == 32
    assert set(json.loads(lines[0])) == {"id", "tokens", "tags", "sha256"}


def test_a_frozen_backbone_says_that_it_runs_every_epoch(
    places: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = places[0] / "float"
    tune(TuneSpec(
        model=str(model), data=str(places[2]), output=tmp_path / "run", scheme="none", epochs=0.2, device="cpu",
        class_weights="balanced",
    ))  # fmt: skip
    assert "runs in every epoch all the same" in capsys.readouterr().out
    assert Run.open(tmp_path / "run").original_answers_task  # its tags are the data's


def test_options_that_make_no_sense_of_words(places: tuple[Path, Path, Path], tmp_path: Path) -> None:
    given = {"model": str(places[0] / "float"), "data": str(places[2]), "output": tmp_path / "run", "scheme": "none"}
    with pytest.raises(UsageError, match="--sampling balanced draws examples by their class"):
        tune(TuneSpec(**given, sampling="balanced"))
    with pytest.raises(UsageError, match="--augment flip is for images, and the examples are tagged words"):
        tune(TuneSpec(**given, augment="flip"))
    with pytest.raises(DataError, match="takes texts, and .* holds tagged words"):
        tune(TuneSpec(**given, task="text-classification"))
