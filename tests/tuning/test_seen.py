"""What a person sees of a run: metrics.jsonl, curves.png, the plan; and what options default to."""

from __future__ import annotations

import builtins
import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from edgeft.errors import DataError, MachineError, UsageError
from edgeft.tuning import defaults
from edgeft.tuning.curves import draw_curves
from edgeft.tuning.plan import counts, result_lines, slice_lines
from edgeft.tuning.target import find_target, find_task
from edgeft.tuning.watch import append_metrics, exhausted, forget_after, read_metrics
from tests.tuning import small


def lines(file: Path) -> Path:
    for phase, step in (("float", 1), ("float", 2), ("quantized", 1)):
        append_metrics(file, {"phase": phase, "epoch": step / 2, "step": step, "loss": 1 / step, "lr": 0.1})
    append_metrics(file, {"phase": "float", "epoch": 1.0, "step": 2, "metrics": {"accuracy": 0.5}})
    return file


def test_a_resumed_phase_forgets_what_it_will_write_again(tmp_path: Path) -> None:
    file = lines(tmp_path / "metrics.jsonl")
    forget_after(file, "float", 1)
    assert [(line["phase"], line["step"]) for line in read_metrics(file)] == [("float", 1), ("quantized", 1)]


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    file = lines(tmp_path / "metrics.jsonl")
    with open(file, "a") as opened:
        opened.write('{"phase": "float", "st')
    assert len(read_metrics(file)) == 4


def test_figures_that_are_not_finite_are_absent(tmp_path: Path) -> None:
    append_metrics(tmp_path / "m", {"phase": "float", "step": 1, "loss": float("nan")})
    assert read_metrics(tmp_path / "m") == [{"phase": "float", "step": 1}]


def test_curves_are_drawn_or_left_out_with_a_line(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    file = lines(tmp_path / "metrics.jsonl")
    assert draw_curves(file, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (960, 480)
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not draw_curves(file, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    assert "matplotlib is not installed" in capsys.readouterr().out


def test_patience_counts_from_the_best() -> None:
    log = [{"eval_accuracy": value} for value in (0.5, 0.7, 0.7, 0.6)]
    assert exhausted(log, "accuracy", 2)
    assert not exhausted(log, "accuracy", 3)
    assert not exhausted([{"loss": 1.0}], "accuracy", 1)


def test_counts_and_scores(tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path, {"train": 3, "validation": 2, "test": 1})
    assert counts(dataset)["train"] == {"food": 3, "travel": 3}
    classes = {"macro_f1": 1.0, "per_class": {"food": {"n": 1, "f1": 1.0}}, "confusion": {}}
    scores = {"float": {"validation": {"value": 0.5}, "test": {"value": 0.25}}}
    lines = result_lines("accuracy", {"scores": scores, "classes": {"float": {"test": classes}}})
    assert lines[1].split() == ["float", "0.5000", "0.2500"]
    assert lines[2:] == ["float on test, macro-F1 1.0000: no class has an error"]


def test_the_task_follows_from_the_data(tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path)
    assert find_task(None, dataset).name == "text-classification"
    with pytest.raises(DataError, match="task image-classification takes images"):
        find_task("image-classification", dataset)
    with pytest.raises(UsageError, match="did you mean 'text-classification'"):
        find_task("text-clasification", dataset)


def test_the_scheme_is_the_profile_s_unless_given() -> None:
    assert find_target("x86-64-vnni", None).scheme_name == "u8s8"
    assert find_target("x86-64-vnni", "s8s8").scheme_name == "s8s8"
    assert find_target("x86-64-vnni", "none").scheme is None
    with pytest.raises(UsageError, match="did you mean 'u8s8'"):
        find_target("generic", "u8s9")


def test_labels_are_smoothed_for_images_unless_asked_otherwise() -> None:
    assert defaults.label_smoothing(None, "image") == 0.1
    assert defaults.label_smoothing(None, "text") == 0.0
    assert defaults.label_smoothing(0.0, "image") == 0.0


def test_learning_rates_by_what_learns() -> None:
    bert = transformers.BertForSequenceClassification(small.bert_config(hidden_size=192, num_attention_heads=2))
    resnet = transformers.TimmWrapperForImageClassification(
        transformers.TimmWrapperConfig(architecture="resnet18", num_labels=2)
    )
    assert defaults.learning_rate(None, "backbone", bert) == 3e-3
    assert defaults.learning_rate(None, "none", resnet) == 1e-3
    assert defaults.learning_rate(None, "last:1", bert) == 5e-4  # 1e-4 * 16 is more than any body is given
    wide = transformers.BertForSequenceClassification(small.bert_config(hidden_size=768, num_attention_heads=2))
    assert defaults.learning_rate(None, "none", wide) == 1e-4
    assert defaults.learning_rate(1e-2, "none", wide) == 1e-2


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert defaults.precision("auto", cpu) == "fp32"
    assert defaults.precision("bf16", cpu) == "bf16"
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        defaults.precision("fp16", cpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert defaults.device("auto") == torch.device("cpu")
    with pytest.raises(MachineError, match="torch sees no such GPU"):
        defaults.device("cuda")




@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"is_available": True, "is_initialized": False, "device_count": 2}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")


def test_with_two_gpus_one_trains_and_that_is_said(two_gpus: None, capsys: pytest.CaptureFixture[str]) -> None:  # Q17
    assert defaults.device("auto") == torch.device("cuda", 0)
    assert "2 GPUs are visible, and one trains: GPU 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("visible", "number", "named"),
    [(None, "1", "1"), ("2,5", "1", "5"), ("GPU-8f, GPU-3c", "0", "GPU-8f"), ("2,5", "2", ""), ("", "0", "")],
)
def test_a_gpu_is_counted_among_those_that_are_visible(
    two_gpus: None, monkeypatch: pytest.MonkeyPatch, visible: str | None, number: str, named: str
) -> None:
    """On a shared server the second of the two GPUs one was given is not the second of the server."""
    monkeypatch.setattr(defaults, "_VISIBLE", visible)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as it was")
    defaults.device(f"cuda:{number}")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == named


def test_the_worst_slices_are_printed_with_their_intervals(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    dataset = small.text_dataset(tmp_path / "data")
    splits = {
        split: tuple(dataclasses.replace(one, slice=f"site {number % 2}") for number, one in enumerate(examples))
        for split, examples in dataset.splits.items()
    }
    sliced = dataclasses.replace(dataset, splits=splits)
    run = tune_on(sliced, model=str(small.save_bert(tmp_path / "m")), scheme="none")
    found = run.scores_of("float")["test"]
    apart = found["slices"]
    assert [one["n"] for one in apart.values()] == [12, 12]
    assert sum(one["right"] * one["n"] for one in apart.values()) == pytest.approx(found["value"] * 24)
    said = capsys.readouterr().out
    one = apart["site 1"]
    assert f"  site 1      12  {one['right']:.4f}  [{one['ci95'][0]:.4f}, {one['ci95'][1]:.4f}]" in said
    many = {f"part {number}": {"n": 5, "right": number / 20, "ci95": [0.0, 1.0]} for number in range(20)}
    lines = slice_lines("float on test", many)
    assert lines[0] == "float on test, the 10 worst of 20 slices: share of right answers and its 95 % interval"
    assert len(lines) == 11 and lines[1].startswith("  part 0")
