from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgeft import files
from edgeft.data.dataset import Dataset, Example
from edgeft.data.splits_record import write_splits
from edgeft.errors import FolderError
from edgeft.runfolder import Run, RunState


def document(folder: Path, **changes: Any) -> dict[str, Any]:
    examples = (Example("t.csv:0", "one\u2028line", 1), Example("t.csv:1", "two", 0))
    dataset = Dataset("text", ("no", "yes"), {"test": examples}, str(folder), "f", "given")
    write_splits(folder / "splits.jsonl", dataset)
    return {
        "schema": "edgeft-run/1", "task": "text-classification", "metric": "accuracy", "labels": ["no", "yes"],
        "preprocessing": {"kind": "text"}, "scheme": "u8s8", "profile": None,
        "data": {"folder": str(folder), "splits_sha256": files.sha256_file(folder / "splits.jsonl")},
        "model": {"original_answers_task": True}, "scores": {"float": {"test": {"value": 0.5}}}, "state": "complete",
        **changes,
    }  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tuned.json").write_text(json.dumps(document(folder, **changes)))
    return folder


def test_a_run_reads_its_document(tmp_path: Path) -> None:
    run = Run.open(write(tmp_path / "run"))
    assert (run.task, run.metric, run.labels) == ("text-classification", "accuracy", ("no", "yes"))
    assert (run.scheme_name, run.profile_name, run.original_answers_task) == ("u8s8", None, True)
    assert run.scores_of("float") == {"test": {"value": 0.5}}
    assert run.float_model == tmp_path / "run" / "float"


def test_its_examples_come_back_as_they_were(tmp_path: Path) -> None:
    run = Run.open(write(tmp_path / "run"))
    assert [(e.id, e.content, e.label) for e in run.examples("test")] == [
        ("t.csv:0", "one\u2028line", 1), ("t.csv:1", "two", 0),
    ]  # fmt: skip


def test_changed_weights_are_noticed_where_they_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "float").mkdir(parents=True)
    weights = folder / "float" / "model.safetensors"
    weights.write_bytes(b"weights")
    write(folder, weights={"float/model.safetensors": files.sha256_file(weights)})
    run = Run.open(folder)
    run.vouch_for(run.float_model)
    weights.write_bytes(b"weighty")
    run.vouch_for(run.quantized)
    with pytest.raises(FolderError, match="model.safetensors is missing or was changed since the run ended"):
        run.vouch_for(run.float_model)


def test_a_changed_record_of_the_splits_is_noticed(tmp_path: Path) -> None:
    run = Run.open(write(tmp_path / "run"))
    text = run.splits.read_text(encoding="utf-8")
    run.splits.write_text(text.replace("two", "too"), encoding="utf-8")
    with pytest.raises(FolderError, match="changed since the run ended"):
        run.examples("test")


def test_missing_unfinished_newer_and_incomplete_runs(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="there is no run folder"):
        Run.open(tmp_path / "gone")
    RunState.begin(tmp_path / "begun", {}, resume=False)
    with pytest.raises(FolderError, match="is not finished; repeat its edgeft tune command with --resume"):
        Run.open(tmp_path / "begun")
    with pytest.raises(FolderError, match="newer edgeft"):
        Run.open(write(tmp_path / "newer", schema="edgeft-run/2"))
    with pytest.raises(FolderError, match="mark of a complete run"):
        Run.open(write(tmp_path / "half", state="training"))


def test_phases_are_kept_from_call_to_call(tmp_path: Path) -> None:
    state = RunState.begin(tmp_path / "run", {"epochs": 1.0}, resume=False)
    assert state.done("float") is None
    state.finish("float", {"best_epoch": 2.0})
    again = RunState.begin(tmp_path / "run", {"epochs": 1.0}, resume=True)
    assert again.done("float") == {"best_epoch": 2.0}
    assert again.done("ptq") is None


def test_a_held_folder_needs_resume_and_the_same_settings(tmp_path: Path) -> None:
    state = RunState.begin(tmp_path / "run", {"epochs": 1.0, "batch_size": 8}, resume=False)
    state.finish("original", {})
    with pytest.raises(FolderError, match="already holds a run; add --resume"):
        RunState.begin(tmp_path / "run", {"epochs": 1.0, "batch_size": 8}, resume=False)
    with pytest.raises(FolderError, match="begun with batch-size = 8, not 16"):
        RunState.begin(tmp_path / "run", {"epochs": 1.0, "batch_size": 16}, resume=True)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(FolderError, match="is a file; choose another --output"):
        RunState.begin(tmp_path / "run", {}, resume=False)


def test_resume_of_nothing_begins(tmp_path: Path) -> None:
    assert RunState.begin(tmp_path / "run", {}, resume=True).done("float") is None


def test_a_run_that_stopped_before_anything_was_done_holds_no_folder(tmp_path: Path) -> None:
    RunState.begin(tmp_path / "run", {"model": "misspelt"}, resume=False)
    assert RunState.begin(tmp_path / "run", {"model": "right"}, resume=False).settings == {"model": "right"}


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "cat.jpg").write_bytes(b"x")
    with pytest.raises(FolderError, match=r"is not empty and is no run \(it holds cat\.jpg\)"):
        RunState.begin(tmp_path / "photographs", {}, resume=False)
    assert [entry.name for entry in (tmp_path / "photographs").iterdir()] == ["cat.jpg"]
