"""One evaluation for each thing that can be wrong: what is said, and what stays."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeft import files
from edgeft.errors import FolderError, MachineError, ModelError
from edgeft.evaluation import run
from edgeft.evaluation.meters.world import ReadError
from edgeft.evaluation.unfinished import folder_of
from tests.evaluation.make_bundle import float_model, make_bundle


@pytest.fixture
def copy(bundle_path, tmp_path):
    shutil.copytree(bundle_path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["int8.onnx", "manifest.json", "eval/examples.jsonl", "eval/00003.png"])
def test_a_file_that_is_missing_is_named(spec, copy, name):
    (copy / name).unlink()
    with pytest.raises(FolderError, match=f"{Path(name).name} is missing"):
        run.evaluate(spec(bundle=copy))


@pytest.mark.parametrize("name", ["int8.onnx", "manifest.json", "eval/examples.jsonl", "eval/00003.png"])
def test_a_file_that_was_changed_is_named(spec, copy, name):
    content = (copy / name).read_bytes()
    place = content.rindex(b"e") if name.endswith("json") else len(content) - 2
    (copy / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(FolderError, match=f"{Path(name).name}.*(was changed|it was edited|not readable)"):
        run.evaluate(spec(bundle=copy))


def test_a_runtime_too_old_for_the_model_names_versions_and_the_export(spec, tmp_path):
    bundle = make_bundle(tmp_path / "b", n=3, models={"original": float_model(), "int8": float_model(opset=99, ir=99)})
    with pytest.raises(ModelError, match=r"int8.onnx has ONNX IR version 99.*reads up to \d+.*edgeft export RUN"):
        run.evaluate(spec(bundle=bundle.path))


GPU = 'id = "gpu"\ntitle = "t"\nscheme = "u8s8"\nproviders = ["CUDAExecutionProvider", "CPUExecutionProvider"]\n'


def test_a_provider_that_is_not_there_stops_and_the_cpu_is_used_only_when_asked(spec, tmp_path):
    (tmp_path / "gpu.toml").write_text(GPU)
    with pytest.raises(MachineError, match="no CUDAExecutionProvider here, only .*CPUExecutionProvider.*--provider"):
        run.evaluate(spec(profile=str(tmp_path / "gpu.toml")))
    document = run.evaluate(spec(profile=str(tmp_path / "gpu.toml"), provider="CPUExecutionProvider")).document
    assert document["runtime"]["ep_requested"] == "CPUExecutionProvider" and not document["runtime"]["fallback"]


def test_samples_that_cannot_be_decoded_are_counted_and_every_variant_is_scored_on_the_same_rest(spec, tmp_path):
    bundle = make_bundle(tmp_path / "b", n=12, broken=(0, 5))
    result = run.evaluate(spec(bundle=bundle.path))
    assert result.document["data"]["unreadable"] == 2
    assert {variant["accuracy"]["n"] for variant in result.document["variants"].values()} == {10}
    assert result.document["comparisons"]["int8"]["accuracy"]["n"] == 10
    assert {0, 5}.isdisjoint(result.samples()["positions"])


def test_a_meter_that_dies_midway_leaves_what_it_measured_and_no_claim(spec, monkeypatch):
    from tests.evaluation.meters import steady_meter

    reads = []

    class Dying(steady_meter.TenWatts):
        def joules(self):
            reads.append(1)
            if len(reads) > 20:  # idle takes 7 of them, a block 2
                raise ReadError("Input/output error")
            return super().joules()

    steady_meter.use_steady_meter(monkeypatch.setattr)
    monkeypatch.setattr(steady_meter, "TenWatts", Dying)
    document = run.evaluate(spec(meter="ten-watts")).document
    found = document["variants"]["int8"]["energy"]
    assert found["status"] == "measured" and 0 < len(found["blocks"]) < 4 and "Input/output error" in found["reason"]
    flags = {flag["code"]: flag for flag in document["validity"]["flags"]}
    assert (flags["meter"]["severity"], flags["meter"]["affects"]) == ("invalid", "energy")
    about_energy = [claim for claim in document["claims"] if "energy" in claim["text"]]
    assert about_energy and not any(claim["valid"] for claim in about_energy)
    assert document["variants"]["int8"]["latency"]["n"] >= 80  # the other passes stand


def test_a_disk_that_fills_up_is_one_clear_error_and_what_was_complete_stays(spec, monkeypatch, tmp_path):
    real, written = os.fsync, []

    def full(handle):
        written.append(handle)
        if len(list(folder_of(tmp_path / "result").glob("latency-*.npz"))) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(MachineError, match="latency-002.npz could not be written: the disk is full; free some"):
            run.evaluate(spec())
    kept = folder_of(tmp_path / "result")
    assert sorted(path.name for path in kept.glob("latency-*")) == ["latency-000.npz", "latency-001.npz"]
    assert not (tmp_path / "result").exists()
    document = run.evaluate(spec(resume=True)).document
    assert document["resumed"]["passes"][-1] == "latency, 2 rounds"


def test_a_disk_that_is_full_for_the_result_leaves_the_older_one(spec, monkeypatch, tmp_path):
    first = run.evaluate(spec()).document["created_utc"]
    with monkeypatch.context() as patched:
        patched.setattr(run, "write_samples", _no_space)
        with pytest.raises(MachineError, match="the disk is full"):
            run.evaluate(spec())
    assert files.read_json(tmp_path / "result" / "result.json", "edgeft-result/1", "")["created_utc"] == first


def _no_space(path, arrays):
    with files.disk_errors(path):
        raise OSError(errno.ENOSPC, "No space left on device")


def infinite_model():
    """Its second logit overflows."""
    return float_model(bias=(0.0, float("inf"), 0.0))


def narrow_model():
    """Two logits where the bundle has three labels."""
    model = float_model()
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)[..., :2]
        tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2
    return model


@pytest.mark.parametrize(
    "model,why",
    [
        (infinite_model, r"int8 answers with numbers that are not finite \(sample \S+\)"),
        (narrow_model, r"int8 answers with shape \[1, 2\], and 3 labels ask for \[1, 3\] \(sample \S+\)"),
    ],
)
def test_a_variant_without_answers_is_named_and_costs_the_others_nothing(spec, tmp_path, capsys, model, why):
    models = {"original": float_model(), "int8": model(), "float32": float_model()}
    bundle = make_bundle(tmp_path / "b", n=6, models=models)
    document = run.evaluate(spec(bundle=bundle.path)).document
    assert list(document["variants"]) == ["original", "float32"] and document["validity"]["valid"]
    assert document["variants"]["float32"]["accuracy"]["value"] == 1.0
    (flag,) = [flag for flag in document["validity"]["flags"] if flag["code"] == "left_out"]
    assert re.match(why, flag["evidence"]) and flag["variant"] == "int8"
    assert re.search(f"warning: {why}: it is left out", capsys.readouterr().err)


@pytest.mark.parametrize("name,others", [("original", ["int8", "float32"]), ("int8", ["original"])])
def test_without_the_baseline_or_anything_to_compare_it_stops_before_the_long_passes(spec, tmp_path, name, others):
    models = {one: float_model() for one in ("original", "int8", "float32") if one in [name, *others]}
    bundle = make_bundle(tmp_path / "b", n=6, models=models | {name: infinite_model()})
    with pytest.raises(ModelError, match=f"{name} answers with numbers that are not finite.*export the run again"):
        run.evaluate(spec(bundle=bundle.path))
    assert not list(folder_of(tmp_path / "result").glob("latency*"))
