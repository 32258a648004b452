from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from edgeft.errors import FolderError, MachineError, ModelError, UsageError
from edgeft.quant import store
from edgeft.runfolder import Run
from edgeft.tasks import TASKS
from edgeft.tuning import acts, defaults, floating, qat
from edgeft.tuning import run as story
from tests.tuning import small


def text(tmp_path: Path) -> dict[str, Any]:
    return {"model": str(small.save_bert(tmp_path / "bert")), "freeze": "none", "lr": 1e-3}


def test_images_from_folder_to_run(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    model = small.save_timm(tmp_path / "m")
    run = tune_on(small.image_dataset(tmp_path / "data"), model=str(model), epochs=2.0, augment="crop")
    found = run.scores_of("float")["test"]
    assert 0 <= found.pop("calibration_error") < 1
    assert (found.pop("macro_f1"), found.pop("balanced_accuracy"), found.pop("largest_class")) == (1.0, 1.0, 0.5)
    assert found == {"metric": "accuracy", "value": 1.0, "n": 12}
    for name in ("float", "quantized"):
        assert run.document["classes"][name]["test"]["confusion"] == {"blue": {"blue": 6}, "red": {"red": 6}}
        assert run.document["classes"][name]["validation"]["per_class"]["red"]["n"] == 6
    assert set(run.document["scores"]) == {"float", "ptq", "quantized"}
    assert {file.name for file in run.path.iterdir()} == {
        "tuned.json", "state.json", "splits.jsonl", "metrics.jsonl", "curves.png", "confusion.png", "README.md",
        "original", "float", "quantized",
    }  # fmt: skip
    frozen = {entry["name"]: entry for entry in run.document["frozen"]}
    assert "timm_model.bn1.running_var" in frozen and "timm_model.fc.weight" not in frozen  # T03
    assert all(entry["sha256_before"] == entry["sha256_after"] for entry in frozen.values())
    vouched = {"float/model.safetensors", "quantized/calibrated.safetensors", "quantized/trained.safetensors"}
    assert {*run.document["weights"], "quantized/trained.safetensors"} == vouched
    run.vouch_for(run.float_model)
    assert run.preprocessing["height"] == 32
    assert run.document["data"]["counts"]["test"] == {"blue": 6, "red": 6}
    assert [example.label for example in run.examples("test")] == [0] * 6 + [1] * 6
    assert "the classification head is made anew: 2 classes" in capsys.readouterr().out  # T04
    again = transformers.AutoModelForImageClassification.from_pretrained(run.float_model)
    assert again.config.id2label == {0: "blue", 1: "red"}
    reference = json.loads((run.original / "reference.json").read_text())
    assert reference["place"] == str(model) and len(reference["sha256"]) == 64


def test_text_from_table_to_run(tune_on: Any, tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path / "data", {"train": 80, "validation": 12, "test": 12})
    run = tune_on(dataset, **{**text(tmp_path), "lr": 2e-3}, epochs=6.0, qat_epochs=1.0)
    assert run.task == "text-classification"
    assert run.scores_of("float")["test"]["value"] > 0.9
    assert run.scores_of("quantized")["test"]["value"] > 0.9
    assert run.document["frozen"] == []
    assert (run.path / "tokenizer.json").read_bytes() == (run.float_model / "tokenizer.json").read_bytes()  # T14
    examples = run.examples("test")
    tokenizer = transformers.AutoTokenizer.from_pretrained(run.float_model)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(run.float_model).eval()
    with torch.no_grad():
        inputs = tokenizer([example.content for example in examples], padding=True, return_tensors="pt")
        predicted = model(**inputs).logits.argmax(-1).numpy()
    right = np.mean(predicted == [example.label for example in examples])
    assert right == run.scores_of("float")["test"]["value"]


def test_plain_fine_tuning(tune_on: Any, tmp_path: Path) -> None:
    run = tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), scheme="none")
    assert set(run.document["scores"]) == {"float"}
    assert (run.scheme_name, run.document["kept"]) == ("none", "float")
    assert not run.quantized.exists()


def test_a_model_that_knows_the_classes_is_scored_as_given(tune_on: Any, tmp_path: Path) -> None:
    folder = small.save_timm(tmp_path / "m", labels=2)
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "red", "1": "blue"}, "label_names": ["red", "blue"]}
    (folder / "config.json").write_text(json.dumps(config))
    dataset = small.image_dataset(tmp_path / "data")
    run = tune_on(dataset, model=str(folder), scheme="none")
    assert run.original_answers_task
    kept = transformers.AutoModelForImageClassification.from_pretrained(run.original).eval()
    assert kept.config.id2label == {0: "blue", 1: "red"}  # the data's order, not the checkpoint's
    encoder = TASKS.load("image-classification").encoder(run.preprocessing, run.path)
    test = run.examples("test")
    with torch.no_grad():
        pixels = torch.from_numpy(encoder([example.content for example in test])["pixel_values"])
        predicted = kept(pixel_values=pixels).logits.argmax(-1).numpy()
    right = float(np.mean(predicted == [example.label for example in test]))
    assert run.scores_of("original")["test"]["value"] == right


def test_a_start_that_no_epoch_betters_comes_back(tune_on: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """A linear probe is a start that means something; an epoch that spoils it must not take its place."""
    seen: dict[str, torch.Tensor] = {}

    def ruin(phase: str, model: Any, *args: Any, **rest: Any) -> floating.Trained:
        seen["probe"] = model.timm_model.get_classifier().weight.detach().clone()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.zero_()
        return floating.Trained(0.5, 1.0, 3)

    monkeypatch.setattr(floating, "train_phase", ruin)
    model = str(small.save_timm(tmp_path / "m"))
    run = tune_on(small.image_dataset(tmp_path / "data"), model=model, freeze="last:1", scheme="none")
    assert "no epoch was better than the start, which is kept (accuracy on validation 1.0000, best epoch 0.5000)" in (
        capsys.readouterr().out
    )
    kept = transformers.AutoModelForImageClassification.from_pretrained(run.float_model)
    assert torch.equal(kept.timm_model.get_classifier().weight, seen["probe"])
    assert run.scores_of("float")["test"]["value"] == 1.0


def test_a_head_alone_on_images_that_stay_the_same_is_trained_by_its_probe(
    tune_on: Any, tmp_path: Path, capsys: Any
) -> None:
    options = {"model": str(small.save_timm(tmp_path / "m")), "freeze": "backbone", "scheme": "none"}
    run = tune_on(small.image_dataset(tmp_path / "data"), augment="none", **options)
    assert "the probe is what training would find" in capsys.readouterr().out
    assert run.scores_of("float")["test"]["value"] == 1.0


def test_the_worse_of_calibrated_and_trained_is_not_handed_out(
    tune_on: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:  # Q02
    real = qat.train_quantized

    def ruin(quantized: Any, *args: Any, **rest: Any) -> Any:
        outcome = real(quantized, *args, **rest)
        with torch.no_grad():
            for parameter in quantized.other_parameters():
                parameter.zero_()
        return type(outcome)(0.0, outcome.best_epoch, outcome.steps)

    monkeypatch.setattr(qat, "train_quantized", ruin)
    run = tune_on(small.image_dataset(tmp_path / "data"), model=str(small.save_timm(tmp_path / "m")))
    said = capsys.readouterr()
    assert "made the model worse, so the calibrated one is kept" in said.err
    assert run.document["kept"] == "calibrated"
    assert run.scores_of("quantized") == run.scores_of("ptq")
    assert "ptq" in said.out and "quantized" in said.out and "float" in said.out
    assert not (run.quantized / "trained.safetensors").exists()
    assert (run.quantized / "calibrated.safetensors").exists()


def test_how_ranges_were_set_is_recorded(tune_on: Any, tmp_path: Path) -> None:
    dataset, options = small.text_dataset(tmp_path / "data"), {**text(tmp_path), "qat_epochs": 0.0}
    found = {}
    for method in ("minmax", "percentile", "mse"):
        run = tune_on(dataset, **options, calibration=method, output=tmp_path / method)
        record = run.document["calibration"]
        assert record["method"] == method and record["n"] == len(set(record["ids"])) == 16
        assert set(record["ids"]) <= {example.id for example in run.examples("train")}
        assert record["sha256"] == hashlib.sha256("\n".join(record["ids"]).encode()).hexdigest()
        stored = store.load_file(run.quantized / "calibrated.safetensors")
        found[method] = torch.stack([stored[name] for name in sorted(stored) if name.endswith("gelu_fq.scale")])
    assert (found["minmax"] >= found["percentile"]).all() and (found["percentile"] >= found["mse"] * 0.999).all()
    assert not torch.equal(found["minmax"], found["mse"])


def test_layers_named_stay_float_through_training(tune_on: Any, tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path / "data")
    run = tune_on(dataset, **text(tmp_path), keep_float=("attention", "classifier"))
    reasons = {"attention", "classifier"}
    kept = run.document["keep_float"]["layers"]
    assert [each["layer"] for each in kept] == ["attention", "attention_1", "linear_13"]
    assert {each["reason"].removeprefix("kept float by --keep-float ") for each in kept} == reasons
    assert kept[-1]["module"] == "classifier"
    for state in ("calibrated", "trained"):
        stored = store.load_file(run.quantized / f"{state}.safetensors")
        assert not any(name.startswith("linear_13_") for name in stored) and "linear_12_weight_fq.scale" in stored
    assert run.document["settings"]["keep_float"] == ["attention", "classifier"]


def test_a_layer_the_model_does_not_have_is_refused_before_training(
    tune_on: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    dataset = small.text_dataset(tmp_path / "data")
    with monkeypatch.context() as patch:
        patch.setattr(story, "float_phase", lambda *_, **__: pytest.fail("training was begun"))
        with pytest.raises(UsageError, match="atention: this model has no such layer; did you mean .attention."):
            tune_on(dataset, **text(tmp_path), keep_float=("atention",))
    # the corrected command may use the same folder
    assert tune_on(dataset, **text(tmp_path), keep_float=("attention",), qat_epochs=0.0).document["state"] == "complete"


def test_auto_keeps_what_the_budget_needs_and_records_it(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    run = tune_on(
        small.text_dataset(tmp_path / "data"), **text(tmp_path), keep_float=("auto",), budget="accuracy>=-100pt"
    )
    record = run.document["keep_float"]
    assert record["layers"] == []
    assert record["auto"]["budget"] == "accuracy>=-100pt" and record["auto"]["n"] == 24
    assert record["auto"]["score"] == record["auto"]["score_all_quantized"]
    assert "--keep-float auto: 0 of" in capsys.readouterr().out


def test_keep_float_needs_quantization(tune_on: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--keep-float has no meaning without quantization"):
        tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), keep_float=("attention",), scheme="none")


def test_features_may_be_imitated_too(tune_on: Any, tmp_path: Path) -> None:
    weights = []
    for share in (0.0, 5.0):
        run = tune_on(
            small.text_dataset(tmp_path / "data"), **text(tmp_path), feature_loss=share, qat_epochs=1.0, qat_lr=1e-4,
            output=tmp_path / str(share),
        )  # fmt: skip
        weights.append(store.load_file(run.quantized / "trained.safetensors")["model.bert.pooler.dense.weight"])
    assert not torch.equal(*weights)


def test_mixed_precision_stays_out_of_the_quantized_phase(
    tune_on: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:  # Q05
    from edgeft.tuning import trainer

    seen = {}
    real = trainer._arguments

    def arguments(recipe: Any, steps: int, metric: str, folder: Path, *rest: Any) -> Any:
        made = real(recipe, steps, metric, folder, *rest)
        seen[folder.name] = made.bf16
        return made

    monkeypatch.setattr(trainer, "_arguments", arguments)
    run = tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), precision="bf16")
    assert seen == {"float": True, "quantized": False}
    # Trainer's autocast is off the model again: it would hide the products from the engine when the graph is captured
    stored = store.load_file(run.quantized / "trained.safetensors")
    assert sum(name.endswith("_fq.scale") for name in stored) > 20
    assert "the quantization-aware phase computes in fp32" in capsys.readouterr().out


def test_fp16_needs_a_gpu(tune_on: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), precision="fp16")
    assert not (tmp_path / "run").exists()


class Killed(BaseException):
    pass


def test_a_run_killed_after_any_act_goes_on_to_the_same_end(
    tune_on: Any, tmp_path: Path, monkeypatch: Any
) -> None:  # T09
    dataset = small.text_dataset(tmp_path / "data")
    options = {**text(tmp_path), "epochs": 2.0, "freeze": "embeddings"}
    whole = tune_on(dataset, **options, output=tmp_path / "whole")

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    resume = False
    for act in ("prepare", "float_phase", "calibrate", "quantized_phase", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(acts if act == "prepare" else story, act, die)
            with pytest.raises(Killed):
                tune_on(dataset, **options, output=tmp_path / "killed", resume=resume)
        with pytest.raises(FolderError, match="not finished; repeat its edgeft tune command with --resume"):
            Run.open(tmp_path / "killed")
        resume = True
    resumed = tune_on(dataset, **options, output=tmp_path / "killed", resume=True)
    assert resumed.document["scores"] == whole.document["scores"]
    assert resumed.document["frozen"] == whole.document["frozen"]
    saved = sorted(place.relative_to(whole.path) for place in whole.path.glob("*/*.safetensors"))
    assert len(saved) >= 2 and resumed.document["kept"] == whole.document["kept"]
    for file in saved:
        first, second = (store.load_file(folder.path / file) for folder in (whole, resumed))
        assert all(torch.equal(first[name], second[name]) for name in first), file


def test_a_finished_run_is_not_done_again(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    dataset, options = small.text_dataset(tmp_path / "data"), text(tmp_path)
    first = tune_on(dataset, **options, scheme="none")
    before = (first.path / "tuned.json").read_bytes()
    with pytest.raises(FolderError, match="already holds a run; add --resume"):
        tune_on(dataset, **options, scheme="none")
    assert tune_on(dataset, **options, scheme="none", resume=True).document == first.document
    assert (first.path / "tuned.json").read_bytes() == before
    assert "nothing to do" in capsys.readouterr().out


def test_going_on_with_other_settings_is_refused(tune_on: Any, tmp_path: Path) -> None:
    dataset, options = small.text_dataset(tmp_path / "data"), text(tmp_path)
    tune_on(dataset, **options, scheme="none")
    with pytest.raises(FolderError, match=r"begun with epochs = 1.0, not 2.0"):
        tune_on(dataset, **options, scheme="none", epochs=2.0, resume=True)


def test_a_dry_run_prints_the_plan_and_writes_nothing(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    notice = "96 texts of 2 classes: train 48, validation 24, test 24"
    dataset = dataclasses.replace(small.text_dataset(tmp_path / "data"), notices=(notice,))
    assert tune_on(dataset, **text(tmp_path), epochs=3.0, dry_run=True) is None
    plan = capsys.readouterr().out
    for said in (notice, "parameters learn", "3 epochs, 18 steps of 8", "quantization:"):
        assert said in plan
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": 5000}, "--max-length 5000 is more than the model's"),
        ({"keep_float": ("nosuchlayer",)}, "nosuchlayer"),
        ({"image_size": 64}, "--image-size is for images, and the examples are texts; leave it out"),
        ({"augment": "crop"}, "--augment crop is for images, and the examples are texts"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    tune_on: Any, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=said):
            tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), **options, dry_run=dry_run)


def test_a_dry_run_looks_at_the_place_of_the_run(tune_on: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(FolderError, match=r"is not empty and is no run \(it holds thesis.txt\)"):
        tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), dry_run=True)


def test_options_of_texts_are_refused_for_images(tune_on: Any, tmp_path: Path) -> None:
    for option in ({"max_length": 32}, {"text_column": "text"}, {"label_column": "label"}):
        with pytest.raises(UsageError, match="is for texts, and the examples are images"):
            tune_on(small.image_dataset(tmp_path / "data"), model="none", **option)


def test_no_epochs_and_a_new_head_would_be_random(tune_on: Any, tmp_path: Path) -> None:  # T07
    with pytest.raises(UsageError, match="random weights"):
        tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), epochs=0.0)


def test_a_dry_run_says_so_too(tune_on: Any, tmp_path: Path) -> None:  # T07
    with pytest.raises(UsageError, match="random weights"):
        tune_on(small.text_dataset(tmp_path / "data"), **text(tmp_path), epochs=0.0, dry_run=True)


def test_after_a_wrong_model_the_right_one_may_use_the_same_folder(tune_on: Any, tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path / "data")
    with pytest.raises(ModelError, match="there is no model folder"):
        tune_on(dataset, model=str(tmp_path / "brt"))
    assert tune_on(dataset, **text(tmp_path), qat_epochs=0.0).document["state"] == "complete"


def test_too_little_shared_memory_for_loader_processes(monkeypatch: Any, capsys: Any) -> None:  # T12
    free = 64 * 2**20
    monkeypatch.setattr(defaults.os.path, "isdir", lambda path: True)
    monkeypatch.setattr(defaults.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))
    assert defaults.workers(2, torch.device("cpu")) == 0
    assert "/dev/shm has 64 MB free, too little for 2 loader processes" in capsys.readouterr().err
    free = 2**30
    assert defaults.workers(2, torch.device("cpu")) == 2 and defaults.workers(0, torch.device("cpu")) == 0
    assert capsys.readouterr().err == ""


def test_an_unknown_tracker_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="--report-to wandbb is no tracker; did you mean 'wandb'"):
        defaults.tracker("wandbb")
    assert defaults.tracker("none") == "none"


def test_a_run_among_its_own_examples_is_refused(tune_on: Any, tmp_path: Path) -> None:
    data = small.image_dataset(tmp_path / "data")
    with pytest.raises(UsageError, match="--output .*data/run lies inside --data"):
        tune_on(data, model="none", output=tmp_path / "data" / "run")
    assert not (tmp_path / "data" / "run").exists()


def test_a_full_disk_leaves_what_was_complete(tune_on: Any, tmp_path: Path, monkeypatch: Any) -> None:  # C02
    dataset, options = small.text_dataset(tmp_path / "data"), text(tmp_path)

    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    with monkeypatch.context() as patch:
        patch.setattr(store, "save", full)
        with pytest.raises(MachineError, match="the disk is full; free some space and repeat with --resume"):
            tune_on(dataset, **options)
    assert (tmp_path / "run" / "float" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "quantized").exists()
    assert tune_on(dataset, **options, resume=True).scores_of("quantized")


def test_the_same_seed_gives_the_same_run(tune_on: Any, tmp_path: Path) -> None:
    dataset, options = small.text_dataset(tmp_path / "data"), text(tmp_path)
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = tune_on(dataset, **options, scheme="none", output=tmp_path / name, seed=seed)
        weights.append(store.load_file(run.float_model / "model.safetensors")["classifier.weight"])
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_changed_frozen_tensor_ends_the_run(tune_on: Any, tmp_path: Path, monkeypatch: Any) -> None:  # T03
    real = floating.train_phase

    def tamper(phase: str, model: Any, *args: Any, **rest: Any) -> Any:
        outcome = real(phase, model, *args, **rest)
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight[0, 0] += 1
        return outcome

    monkeypatch.setattr(floating, "train_phase", tamper)
    options = {**text(tmp_path), "freeze": "embeddings"}
    with pytest.raises(ModelError, match=r"bert\.embeddings\.word_embeddings\.weight"):
        tune_on(small.text_dataset(tmp_path / "data"), **options)


def test_loader_processes_give_the_same_run(tune_on: Any, tmp_path: Path) -> None:  # T12
    dataset, model = small.image_dataset(tmp_path / "data"), str(small.save_timm(tmp_path / "m"))
    weights = []
    for workers in (0, 2):
        run = tune_on(dataset, model=model, scheme="none", workers=workers, output=tmp_path / str(workers))
        weights.append(store.load_file(run.float_model / "model.safetensors")["timm_model.fc.weight"])
    assert torch.equal(*weights)
