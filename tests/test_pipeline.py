"""`edgeft run`: three steps in a row, skipped when they stand, done again with a reason when they do not."""

import itertools
import json
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgeft
from edgeft import console, files, pipeline, steps
from edgeft.errors import FolderError, GateFailed, UsageError
from edgeft.recipe import Recipe, gather


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Stories that write a document and nothing else; returns the commands that ran, in order."""
    ran: list[str] = []
    number = itertools.count(1)  # no two documents are equal, as their dates differ in earnest

    def story(command: str) -> Callable[[Any], str]:
        def act(spec: Any) -> str:
            ran.append(command + (" resumed" if getattr(spec, "resume", False) else ""))
            if not spec.dry_run:
                spec.output.mkdir(exist_ok=True)
                files.write_json(spec.output / steps.DOCUMENTS[command], {"made": next(number)})
            return command

        return act

    for command, place in steps._STORIES.items():
        module, _, name = place.partition(":")
        fake = types.ModuleType(module)
        setattr(fake, name, story(command))
        monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(pipeline, "_open", lambda spec: f"opened {spec.output.name}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.jpg").write_bytes(b"1")
    (tmp_path / "model.py").write_text("def make(): ...\n")
    console.set_verbosity(0)
    return ran


def recipe(*settings: str) -> Recipe:
    return gather(None, None, ["tune.model=model.py:make", "tune.data=data", "tune.epochs=3", *settings])


def test_the_steps_follow_each_other_and_hand_their_folders_on(done: list[str], tmp_path: Path) -> None:
    assert pipeline.run(recipe("tune.output=r", "export.output=b", "eval.output=e")) == "eval"
    assert done == ["tune", "export", "eval"]
    assert json.loads(Path("b/settings.json").read_text())["settings"]["run"] == "r"
    assert json.loads(Path("e/settings.json").read_text())["settings"]["bundle"] == "b"


def test_a_second_call_does_nothing(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.run(recipe())
    assert pipeline.run(recipe()) == "opened result"
    assert done == ["tune", "export", "eval"]
    assert capsys.readouterr().out.count("skipped") == 3


def again(done: list[str], *settings: str) -> list[str]:
    done.clear()
    pipeline.run(recipe(*settings))
    return done


def test_changed_settings_do_their_step_and_those_after_it(done: list[str]) -> None:
    pipeline.run(recipe())
    assert again(done, "eval.limit=5") == ["eval"]
    assert again(done, "eval.limit=5", "export.samples=5") == ["export", "eval"]


def test_where_and_how_to_print_is_no_reason_to_do_it_again(done: list[str]) -> None:
    pipeline.run(recipe())
    assert again(done, "eval.format=json") == []


def test_an_earlier_run_is_kept_when_it_was_tuned_otherwise(
    done: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.run(recipe())
    assert again(done, "tune.epochs=9") == ["tune", "export", "eval"]
    assert json.loads(Path("run.1/tuned.json").read_text()) == {"made": 1}
    out = capsys.readouterr().out
    assert "run was made with other settings: epochs 3.0, now 9.0" in out and "kept as run.1" in out


def test_changed_inputs_are_noticed(done: list[str]) -> None:
    pipeline.run(recipe())
    Path("model.py").write_text("def make(): return 1\n")
    assert again(done) == ["tune", "export", "eval"]
    Path("data/b.jpg").write_bytes(b"2")
    assert again(done) == ["tune", "export", "eval"]


def test_an_edited_document_is_made_again(done: list[str]) -> None:
    pipeline.run(recipe())
    Path("bundle/manifest.json").write_text("{}")
    assert again(done) == ["export", "eval"]


def test_a_missing_output_is_made_again(done: list[str]) -> None:
    pipeline.run(recipe())
    shutil.rmtree("bundle")
    assert again(done) == ["export", "eval"]


def test_another_version_makes_everything_again(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.run(recipe())
    monkeypatch.setattr(pipeline, "__version__", "0.2.0")
    assert again(done)[0] == "tune"


def unfinished(settings: dict[str, Any]) -> None:
    Path("run").mkdir()
    state = {"schema": "edgeft-run-state/1", "settings": settings, "phases": {}}
    files.write_json(Path("run/state.json"), state)


def test_an_unfinished_run_of_the_same_settings_is_resumed(done: list[str]) -> None:
    unfinished({"epochs": 3.0, "seed": 0})
    pipeline.run(recipe())
    assert done == ["tune resumed", "export", "eval"]


def test_an_interrupted_evaluation_is_gone_on_with(done: list[str]) -> None:
    Path("result.unfinished").mkdir()
    pipeline.run(recipe())
    assert done == ["tune", "export", "eval resumed"]


def test_an_unfinished_run_of_other_settings_is_kept(done: list[str]) -> None:
    unfinished({"epochs": 7.0})
    pipeline.run(recipe())
    assert done == ["tune", "export", "eval"]
    assert Path("run.1/state.json").exists()


def test_a_failed_gate_does_not_keep_eval_from_running_and_is_raised_at_the_end_every_time(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["edgeft.exporting.run"]
    real = module.export

    def failing(spec: Any) -> Any:
        real(spec)
        raise GateFailed("2 nodes are float", "see export.md")

    monkeypatch.setattr(module, "export", failing)
    for expected in (["tune", "export", "eval"], []):  # the second call finds everything done, and says so again
        done.clear()
        with pytest.raises(GateFailed, match="2 nodes are float; see export.md"):
            pipeline.run(recipe())
        assert done == expected


def test_a_dry_run_writes_nothing(done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pipeline.run(recipe(), dry_run=True)
    assert done == ["tune"]
    assert not Path("run").exists()
    assert "edgeft export: its plan is known once run is there" in capsys.readouterr().out


def test_the_python_functions_take_the_options_and_what_the_step_before_returned(done: list[str]) -> None:
    assert edgeft.tune(model="model.py:make", data="data", output="r") == "tune"
    returned = types.SimpleNamespace(path=Path("r"))
    assert edgeft.export(returned, output="b") == "export"
    assert edgeft.evaluate("b", output="e") == "eval"
    assert Path("e/settings.json").exists()
    Path("job.toml").write_text('[tune]\nmodel = "model.py:make"\ndata = "data"\noutput = "r"\n')
    assert edgeft.run("job.toml", export={"output": "b"}, eval={"output": "e"}) == "opened e"


def test_a_result_never_takes_the_place_of_a_bundle_or_of_other_files(tmp_path: Path) -> None:
    bundle, photos, old = tmp_path / "parent" / "bundle", tmp_path / "photos", tmp_path / "old"
    for folder, file in ((bundle, "manifest.json"), (photos, "a.jpg"), (old, "result.json")):
        folder.mkdir(parents=True)
        (folder / file).write_text("{}")
    for place in (bundle, bundle.parent):
        with pytest.raises(UsageError, match="would take the place of the bundle"):
            steps.refuse_place(place, bundle)
    with pytest.raises(FolderError, match="is not empty and is no result"):
        steps.refuse_place(photos, bundle)
    steps.refuse_place(old, bundle)
    steps.refuse_place(tmp_path / "new", bundle)
