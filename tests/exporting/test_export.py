"""From a finished run to a bundle, with everything real but the training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AlbertConfig, AlbertForSequenceClassification

from edgeft.bundle import Bundle
from edgeft.errors import FolderError, GateFailed, MachineError, ModelError, UsageError
from edgeft.exporting import acts, graph, sessions
from edgeft.exporting.run import export
from edgeft.quant.attention import WHY_FLOAT
from edgeft.runfolder import Run
from edgeft.specs import ExportSpec
from edgeft.tasks import TASKS, reference
from edgeft.tasks.eval_examples import read_examples
from tests.exporting import runs


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    return runs.make_run(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture(scope="module")
def text_bundle(text_run):
    return export(ExportSpec(run=text_run, output=text_run.parent / "bundle", archive=True))


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return runs.make_run(tmp_path_factory.mktemp("image"), "image", answers=True, n_test=12)


@pytest.fixture(scope="module")
def image_bundle(image_run):
    return export(ExportSpec(run=image_run, output=image_run.parent / "bundle", variants=("float32",)))


@pytest.fixture
def quick(text_run, tmp_path):
    """Export only what a test asks for."""

    def run(*variants, **how):
        output = how.pop("output", tmp_path / "bundle")
        return export(ExportSpec(run=how.pop("run", text_run), output=output, variants=variants or ("int8",), **how))

    return run


def test_the_bundle_is_whole_and_every_check_passed(text_bundle):
    bundle = Bundle.open(text_bundle.path)
    assert list(bundle.variants) == ["original", "float32", "int8-ptq", "int8"]
    assert [gate for gate in bundle.document["gates"] if not gate["passed"]] == [] and bundle.document["passed"]
    assert bundle.labels == runs.LABELS
    assert bundle.original_is == "the fine-tuned float model"
    assert bundle.document["inputs"][0] == {
        "name": "input_ids", "dtype": "int64", "shape": ["batch", "sequence"], "unit": "",
    }  # fmt: skip
    assert bundle.document["calibration"]["n"] == 40 and len(bundle.document["calibration"]["sample_ids"]) == 40
    assert text_bundle.path.with_name("bundle.edgeft.tar.gz").is_file()


def test_manifest_says_what_each_file_is(text_bundle):
    int8 = text_bundle.variants["int8"]
    assert (int8["opset"], int8["ir_version"], int8["scheme"]) == (20, 9, "u8s8")
    # two layers of an attention kernel (with three linear layers in it) and three linear layers, pooler and classifier
    assert int8["integer_coverage"] == {"integer": 10, "all": 10, "float_nodes": []}
    assert int8["bytes"] == text_bundle.file_of("int8").stat().st_size
    assert int8["parity"]["torch_same_answer"] >= 0.995 and int8["parity"]["torch_cosine"] > 0.9999
    assert text_bundle.variants["float32"]["integer_coverage"]["integer"] == 0


def test_one_file_a_model(text_bundle):  # E08
    names = {path.name for path in text_bundle.path.iterdir()}
    assert names == {
        "original.onnx", "float32.onnx", "int8-ptq.onnx", "int8.onnx", "manifest.json", "export.md", "eval",
        "tokenizer.json",
    }  # fmt: skip


def test_files_answer_raw_text_as_the_torch_model_does(text_bundle, text_run):
    task = TASKS.load("text-classification")
    examples = read_examples(text_bundle.path, text_bundle.labels)
    assert len(examples) == 40
    batch = task.encoder(text_bundle.preprocessing, text_bundle.path)([example.content for example in examples])
    model = runs.text_model()
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(content) for name, content in batch.items()}).logits.numpy()
    for variant, near in (("original", 1e-5), ("float32", 1e-5), ("int8", 0.1)):
        session = sessions.open_session(text_bundle.file_of(variant), optimized=True)
        assert np.abs(sessions.answer(session, batch) - expected).max() < near * max(1, np.abs(expected).max())


def test_ids_of_another_integer_type_are_cast(text_bundle):  # E03
    session = sessions.open_session(text_bundle.file_of("float32"), optimized=True)
    ids = np.array([[2, 5, 6, 3]], np.int32)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    assert sessions.answer(session, batch).shape == (1, 3)


def test_a_text_model_with_free_axes_is_quantized_without_shape_inference(quick, monkeypatch):  # E06
    """Grids are placed in torch, where every size is known while it runs; a failing inference stops nothing."""
    def fails(*given, **more):
        raise onnx.shape_inference.InferenceError("incomplete symbolic shape inference")

    for name in ("infer_shapes", "infer_shapes_path"):
        monkeypatch.setattr(onnx.shape_inference, name, fails)
    bundle = quick("int8")
    inputs = onnx.load(bundle.path / "int8.onnx").graph.input
    axes = {one.name: [axis.dim_param for axis in one.type.tensor_type.shape.dim] for one in inputs}
    assert axes == dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ["batch", "sequence"])
    coverage = bundle.variants["int8"]["integer_coverage"]
    assert coverage["integer"] == coverage["all"] > 0


def test_report_tells_kernels_checks_and_accuracy_after_every_step(text_bundle):  # Q12
    report = (text_bundle.path / "export.md").read_text()
    kernel = "MatMulIntegerToFloat"
    assert f"| {kernel} | {kernel} | uint8 | int8 per channel | float32 on int32 grid | 6 |" in report
    # query, key and value of two layers; scores and weighted sums are in float
    assert "| QAttention | QAttention | uint8 | int8 per channel | float32 on int32 grid | 2 |" in report
    assert "its scores and weighted sums are float" in report
    assert "| Gemm | QGemm | uint8 | int8 per channel | int32 | 2 |" in report  # pooler and classifier
    assert "## Accuracy after every step" in report and "No product stayed float." in report
    assert "5 LayerNormalization" in report
    assert "All checks passed." in report and "The same as int8-ptq, node by node." in report


def test_weights_of_the_integer_file_are_integers(text_bundle):
    import onnx_ir as ir

    stored = {}
    for value in ir.load(text_bundle.file_of("int8")).graph.initializers.values():
        kind = str(value.const_value.dtype)
        stored[kind] = max(stored.get(kind, 0), value.const_value.size)
    # the largest: word embeddings of 100 x 32, whose rows have the type of other activations; three linear layers of
    # 32 x 32 side by side; the pooler's bias of 32; in float scales and biases of 3 x 32 and less
    assert stored["UINT8"] == 3200 and stored["INT8"] == 3072 and stored["INT32"] == 32 and stored["FLOAT"] == 96


def test_exporting_twice_gives_the_same_sizes(quick):  # E09
    first, again = quick().variants["int8"], quick().variants["int8"]
    assert first["bytes"] == again["bytes"] and first["sha256"] == again["sha256"]


def test_samples_are_a_seeded_choice_and_the_same_each_time(quick):
    bundles = [quick("float32", samples=7) for _ in range(2)]
    chosen = [[example.id for example in read_examples(bundle.path, runs.LABELS)] for bundle in bundles]
    assert len(chosen[0]) == 7 and chosen[0] == chosen[1] == sorted(chosen[0])
    assert chosen[0] != [f"{index:04d}" for index in range(60, 67)]


@pytest.mark.parametrize("made", ["text_bundle", "image_bundle"])
def test_the_bundle_carries_a_reference_input_and_vouches_for_it(request, made, tmp_path):  # M16
    bundle = Bundle.open(request.getfixturevalue(made).path)
    task = TASKS.load(bundle.task)
    names = {"eval/reference.npz", *(["eval/reference.png"] if task.content == "image" else [])}
    assert {name for name in bundle.document["files"] if "reference" in name} == names
    reference.check_reference(bundle.path, task.encoder(bundle.preprocessing, bundle.path), task.content)
    broken = tmp_path / "copy"
    shutil.copytree(bundle.path, broken)
    (broken / "eval/reference.npz").unlink()
    with pytest.raises(FolderError, match=r"reference.npz is missing"):
        Bundle.open(broken)


def test_image_run_with_an_original_that_answers(image_run, tmp_path):
    bundle = export(ExportSpec(run=image_run, output=tmp_path / "bundle"))
    assert bundle.original_is == "the model as given"
    assert bundle.variants["int8"]["integer_coverage"]["integer"] == 7
    assert len(list((bundle.path / "eval").glob("[0-9]*.png"))) == 12
    assert [gate for gate in bundle.document["gates"] if not gate["passed"]] == []


def test_the_target_decides_the_stored_type(quick):
    bundle = quick(profile="raspberry-pi-5")
    coverage = bundle.variants["int8"]["integer_coverage"]
    assert bundle.scheme_name == "s8s8" and (coverage["integer"], coverage["all"]) == (14, 16)
    # no attention kernel takes in linear layers of int8 data: two stand beside them, in float
    assert {node["reason"] for node in coverage["float_nodes"]} == {WHY_FLOAT}
    import onnx_ir as ir

    model = ir.load(bundle.file_of("int8"))
    kinds = {str(graph.grid(node).zero_point.dtype) for node in graph.nodes(model, "QuantizeLinear")}
    assert kinds == {"int8"}


def test_an_opset_too_low_is_refused_before_any_work(quick, tmp_path, monkeypatch):  # Q15
    monkeypatch.setattr("edgeft.exporting.run.held_out", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(UsageError, match="--opset 11.*type --opset 20"):
        quick(opset=11)
    assert list(tmp_path.iterdir()) == []


def test_a_higher_opset_is_written_as_asked(quick):
    assert quick(opset=21).variants["int8"]["opset"] == 21


def test_a_run_without_quantization_has_float_files_only(tmp_path, quick):
    run = runs.make_run(tmp_path / "plain", "text", scheme="none")
    with pytest.raises(UsageError, match="tuned without quantization.*--variants original,float32"):
        quick("original", "int8", run=run)
    bundle = quick("float32", run=run)
    assert list(bundle.variants) == ["float32"] and bundle.document["calibration"] == {}


def test_int8_without_a_trained_epoch_says_so(tmp_path, quick):
    run = runs.make_run(tmp_path / "calibrated", "text", trained=False)
    assert quick(run=run).variants["int8"]["title"] == "calibrated: no quantization-aware epoch was trained"


def test_int8_says_so_when_the_calibrated_model_won(tmp_path):  # Q02
    document = {"settings": {"qat_epochs": 1.0}, "kept": "calibrated"}
    run = Run(tmp_path, document)  # without quantized/trained.safetensors
    assert acts.trained_title(run) == (
        "calibrated: quantization-aware training made it no better on validation"
    )


def test_a_weight_that_is_not_in_the_checkpoint_is_refused(tmp_path, quick):  # T07
    run = runs.make_run(tmp_path / "spoiled", "text")
    place = run / "float" / "model.safetensors"
    save_file({name: t for name, t in load_file(place).items() if not name.startswith("classifier")}, place)
    with pytest.raises(ModelError, match="lacks 2 weights such as classifier.bias: they would be random"):
        quick(run=run)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("state", "variant"), [("calibrated", "int8-ptq"), ("trained", "int8")])
def test_numbers_that_are_missing_are_named_before_anything_is_loaded(tmp_path, quick, monkeypatch, state, variant):
    run = runs.make_run(tmp_path / "run", "text")
    shutil.move(run / "quantized" / f"{state}.safetensors", tmp_path)
    if state == "trained":  # then int8 would be the calibrated one, and that is not there either
        shutil.move(run / "quantized" / "calibrated.safetensors", tmp_path)
    monkeypatch.setattr("edgeft.exporting.run.Sources", None)
    scheme = Run.open(run).scheme_name
    lost = f"calibrated.safetensors is missing; copy .* tune again with .*--scheme {scheme}$"
    with pytest.raises(FolderError, match=lost):
        quick(variant, run=run)


def test_a_model_that_was_never_tuned_is_refused(tmp_path, quick):  # T07
    runs.text_model().save_pretrained(tmp_path / "body")
    with pytest.raises(FolderError, match=r"tuned\.json is missing; run edgeft tune"):
        quick(run=tmp_path / "body")


def test_a_place_that_cannot_be_written_is_named_before_anything_is_loaded(quick, monkeypatch):
    monkeypatch.setattr("edgeft.exporting.run.Sources", None)
    if not Path("/proc/self").exists():
        pytest.skip("only Linux has a folder in which nobody can write")
    with pytest.raises(MachineError, match=r"^/proc/bundle could not be written: [a-z ]+; choose another --output$"):
        quick(output=Path("/proc/bundle"))


def test_labels_of_the_model_must_be_those_of_the_run(tmp_path, quick):
    run = runs.make_run(tmp_path / "mixed", "text")
    config = json.loads((run / "float" / "config.json").read_text())
    config["id2label"] = {"0": "dog", "1": "cat", "2": "owl"}
    (run / "float" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="are not the labels of the run"):
        quick(run=run)


def _spoil(monkeypatch):
    """Every bias gets a scale 50 times too large in the file: what onnxruntime computes wrongly without a word."""
    whole = acts.write

    def write(model, path):
        for node in graph.nodes(model, "Gemm"):
            bias = graph.stored_weight(node.inputs[2])
            if bias is not None:
                scale = graph.array(bias.inputs[1]) * np.float32(50)
                bias.replace_input_with(1, graph.initializer(model, f"{node.name}_foreign", scale))
        return whole(model, path)

    monkeypatch.setattr(acts, "write", write)


def test_a_failed_gate_leaves_a_marked_bundle_and_exit_code_3(quick, tmp_path, monkeypatch, capsys):  # C06
    _spoil(monkeypatch)
    with pytest.raises(GateFailed) as failure:
        quick(archive=True)
    assert failure.value.exit_code == 3
    assert "bundle was written and is marked as failed: int8 (form)" in str(failure.value)
    assert "int8 (bias grids)" in str(failure.value) and "the archive was not written" in str(failure.value)
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.document["passed"] is False and bundle.variants["int8"]["passed"] is False
    assert "**Checks failed for int8**" in (bundle.path / "export.md").read_text()
    assert not (tmp_path / "bundle.edgeft.tar.gz").exists()
    assert (
        "8 of 10 biases are multiples of s_x * s_w that fit int32, 2 of them stored as such: Gemm"
        in capsys.readouterr().err
    )


def test_the_older_bundle_stays_when_the_export_is_interrupted(quick, tmp_path, monkeypatch):
    before = quick("float32").sha256

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(acts, "judge", stop)
    with pytest.raises(KeyboardInterrupt):
        quick("float32")
    assert Bundle.open(tmp_path / "bundle").sha256 == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_output_never_takes_the_place_of_something_else(quick, text_run, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(FolderError, match="is not empty and is no bundle"):
        quick(output=tmp_path / "photos")
    for place in (text_run, text_run.parent):
        with pytest.raises(UsageError, match="take the place of the run"):
            quick(output=place)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"mine" and (text_run / "tuned.json").is_file()


def test_dry_run_prints_the_plan_and_writes_nothing(quick, tmp_path, capsys):
    assert quick(dry_run=True) is None
    assert "ONNX opset 20, IR version 9" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_weight_used_in_several_places_is_reported(tmp_path, quick):  # E11
    torch.manual_seed(0)
    config = AlbertConfig(
        embedding_size=32, hidden_size=64, num_hidden_layers=3, num_attention_heads=2, intermediate_size=128,
        vocab_size=100, max_position_embeddings=64, num_labels=3, id2label=dict(enumerate(runs.LABELS)),
    )  # fmt: skip
    model = runs.with_biases(AlbertForSequenceClassification(config)).eval()
    bundle = quick("float32", "int8", run=runs.make_run(tmp_path / "shared", "text", model=model))
    # one layer of 4 x 64 x 64 and 2 x 64 x 128 weights, used three times: two copies
    copies = 2 * (4 * 64 * 64 + 2 * 64 * 128)
    report = (bundle.path / "export.md").read_text()
    assert f"int8: {copies:,} bytes are constants stored more than once: the model uses one weight" in report
    assert "float32:" not in report.partition("## Warnings")[2]
    distinct = sum(parameter.numel() for parameter in model.parameters())
    assert bundle.variants["float32"]["bytes"] < 1.4 * 4 * distinct
