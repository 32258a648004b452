"""`export -p OTHER`: the same numbers, calibrated again, or trained for."""

from __future__ import annotations

import itertools
import json
import shlex

import numpy as np
import onnx_ir as ir
import pytest

from edgeft import cli
from edgeft.errors import ProfileError
from edgeft.exporting import graph
from edgeft.exporting.grids import find_grids, tune_command
from edgeft.exporting.run import export
from edgeft.profile import Profile, load_profile
from edgeft.quant.choice import Wish
from edgeft.runfolder import Run
from edgeft.scheme import S8S8, S8S8_SYMMETRIC, SCHEMES, U8S8, U8S8_7BIT, U8U8, U16S8, way_to
from edgeft.specs import ExportSpec
from tests.exporting import runs

TARGET = Profile("board", "a board", "u8s8", ("CPUExecutionProvider",))


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    return runs.make_run(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture
def quick(text_run, tmp_path):
    def run(*variants, **how):
        asked = {"variants": variants} if variants else {}
        return export(ExportSpec(run=how.pop("run", text_run), output=tmp_path / "bundle", **asked, **how))

    return run


# From the table of training grids in quantization.md, section 5: T1 with 8-bit weights, T2 with 7-bit ones, weights of
# linear layers per tensor; T3 symmetric, T4 16-bit.
@pytest.mark.parametrize(
    "trained, target, way",
    [
        (U8S8, S8S8, "export"),
        (S8S8, U8S8, "export"),
        (U8S8, U8S8_7BIT, "calibrate"),
        (U8S8_7BIT, U8S8, "calibrate"),
        (U8S8, U8U8, "calibrate"),
        (U8U8, S8S8, "calibrate"),
        (U8S8, U16S8, "calibrate"),
        (U16S8, U8S8, "train"),
        (U8S8, S8S8_SYMMETRIC, "train"),
        (S8S8_SYMMETRIC, U8S8, "train"),
        (S8S8_SYMMETRIC, U16S8, "train"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_another_targets_numbers_need(trained, target, way):
    assert way_to(trained, target) == way


def test_every_pair_of_schemes_has_a_way_and_the_same_grid_needs_nothing():
    known = [SCHEMES.load(name) for name in SCHEMES.names()]
    for one, other in itertools.product(known, known):
        assert (way_to(one, other) == "export") == (one.trained_as == other.trained_as)


def test_weights_of_4_bits_must_be_trained_for():
    import dataclasses

    narrow = dataclasses.replace(U8S8.weight, qmin=-7, qmax=7)
    target = dataclasses.replace(U8S8, trained_as="narrow", weight=narrow, linear_weight=narrow)
    assert way_to(U8S8, target) == "train" and way_to(target, U8S8) == "calibrate"


def test_another_weight_grid_is_calibrated_again_with_a_warning(quick, text_run, capsys):
    bundle = quick(profile="x86-64-avx2")
    assert list(bundle.variants) == ["original", "float32", "int8-ptq"]
    assert [gate for gate in bundle.document["gates"] if not gate["passed"]] == []
    assert bundle.variants["int8-ptq"]["scheme"] == bundle.scheme_name == "u8s8-7bit"
    model = ir.load(bundle.file_of("int8-ptq"))
    weights = [graph.stored_weight(node.inputs[1]).inputs[0] for node in graph.nodes(model, "Gemm")]
    weights += [node.inputs[1] for node in graph.nodes(model, *graph.KERNELS)]
    codes = [graph.array(weight) for weight in weights]
    assert len(codes) == 10 and {int(np.abs(each).max()) for each in codes} == {64}
    warned = capsys.readouterr().err
    assert "was trained for uint8 activations, int8 weights per channel, and x86-64 with AVX2" in warned
    assert "int8-ptq is calibrated again on the run's training samples" in warned
    assert "int8 is left out; to train it, type edgeft tune --model" in warned


def test_calibrated_again_it_is_what_tuning_for_that_target_calibrates(quick, text_run, tmp_path):
    other = runs.make_run(tmp_path / "other", "text", scheme="u8s8-7bit", profile="x86-64-avx2", trained=False)
    record = json.loads((other / "quantized" / "calibration.json").read_text())
    assert json.loads((text_run / "quantized" / "calibration.json").read_text())["ids"] == record["ids"]
    again = quick("int8-ptq", profile="x86-64-avx2").file_of("int8-ptq").read_bytes()
    assert again == quick("int8-ptq", run=other).file_of("int8-ptq").read_bytes()


def test_asked_for_int8_alone_the_calibrated_model_takes_its_place(quick):
    assert list(quick("int8", profile="x86-64-avx2").variants) == ["int8-ptq"]


def test_numbers_that_must_be_trained_for_are_refused_with_the_command(text_run):
    run = Run.open(text_run)
    board = Profile("board", "a board", "s8s8-symmetric", ("CPUExecutionProvider",))
    with pytest.raises(ProfileError, match=r"must be trained for; type edgeft tune --model .*/float .*--epochs 0"):
        find_grids(run, board, ("int8",), Wish())
    assert find_grids(run, board, ("float32",), Wish()) is None


def test_the_command_repeats_the_runs_settings_and_can_be_typed(tmp_path):
    settings = {
        "model": "m", "data": "my data", "profile": "generic", "epochs": 3.0, "freeze": "none", "image_size": 160,
        "batch_size": 32, "lr": 0.001, "keep_float": ["softmax", "head.*"], "seed": 7, "output": "run", "resume": False,
    }  # fmt: skip
    run = Run(tmp_path / "run", {"settings": settings, "data": {"source": "elsewhere"}})
    words = shlex.split(tune_command(run, load_profile("raspberry-pi-5")))
    assert words == [
        "edgeft", "tune", "--model", f"{tmp_path}/run/float", "--data", "my data", "--epochs", "0",
        "--profile", "raspberry-pi-5", "--freeze", "none", "--image-size", "160", "--keep-float", "softmax,head.*",
        "--seed", "7", "--output", f"{tmp_path}/run-raspberry-pi-5",
    ]  # fmt: skip
    known = {flag for option in cli.group.commands["tune"].params for flag in option.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_plan_says_which_it_is(quick, capsys):
    quick(profile="raspberry-pi-5", dry_run=True)
    assert "int8 activations, int8 weights per channel (ARM), as trained" in capsys.readouterr().out
    quick(profile="x86-64-avx2", dry_run=True)
    assert "calibrated again; the run was trained for uint8 activations" in capsys.readouterr().out
