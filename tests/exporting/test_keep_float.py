"""Layers in float by choice, and what quantizing each layer costs: from a run to the files and their checks."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx_ir as ir
import pytest
import torch

from edgeft.errors import UsageError
from edgeft.exporting import acts, graph, sessions
from edgeft.exporting.gates.coverage import Coverage
from edgeft.exporting.run import export
from edgeft.quant.attention import WHY_FLOAT
from edgeft.specs import ExportSpec
from tests.exporting import runs


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    return runs.make_run(tmp_path_factory.mktemp("text"), "text")


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return runs.make_run(tmp_path_factory.mktemp("image"), "image", n_test=12)


@pytest.fixture
def quick(text_run, tmp_path):
    def run(*variants, **how):
        return export(ExportSpec(run=how.pop("run", text_run), output=tmp_path / "bundle", variants=variants, **how))

    return run


def left(bundle, variant="int8-ptq"):
    found = bundle.variants[variant]["integer_coverage"]
    return found["integer"], {each["name"]: each["reason"] for each in found["float_nodes"]}


def failed(bundle):
    return [gate for gate in bundle.document["gates"] if not gate["passed"]]


# A pattern, and how many products of a 2-layer BERT stay integer and float. A layer has one attention kernel that takes
# in three linear layers, and three more of these; pooler and classifier come after them. With a linear layer in float
# the kernel takes none in, and counts beside the three.
@pytest.mark.parametrize(
    "pattern, integers, floats",
    [
        ("classifier", 9, 1),
        ("bert.encoder.layer.0.output", 9, 1),
        ("*.intermediate.dense", 8, 2),
        ("bert.encoder.layer.0.attention.self.query", 11, 2),
        ("linear", 0, 16),
        ("bert.encoder.layer.1", 6, 7),
        ("attention", 10, 0),
        ("gelu", 10, 0),
        ("embedding", 10, 0),
        ("layer_norm", 10, 0),
    ],
)
def test_every_other_product_stays_an_integer_one(quick, pattern, integers, floats):
    bundle = quick("int8-ptq", keep_float=(pattern,))
    assert failed(bundle) == []
    integer, reasons = left(bundle)
    assert (integer, len(reasons)) == (integers, floats)
    assert set(reasons.values()) <= {f"kept float by --keep-float {pattern}", WHY_FLOAT}
    assert all(each["reason"].endswith(pattern) for each in bundle.variants["int8-ptq"]["kept_float"])


@pytest.mark.parametrize("pattern, floats", [("conv2d", 6), ("conv2d_1", 1), ("classifier.1", 1), ("add", 0)])
def test_convolutions_in_float_leave_the_others_integer(quick, image_run, pattern, floats):
    bundle = quick("int8-ptq", run=image_run, keep_float=(pattern,))
    assert failed(bundle) == [] and left(bundle)[0] == 7 - floats


def test_a_float_product_that_nobody_chose_still_fails(quick, monkeypatch):
    whole = acts.write

    def write(model, path):
        """Store one more weight in float, as an exporter's fault would."""
        node = next(n for n in graph.nodes(model, "Gemm") if graph.stored_weight(n.inputs[1]) is not None)
        stored = graph.stored_weight(node.inputs[1])
        codes, grid = graph.array(stored.inputs[0]), graph.grid(stored)
        node.replace_input_with(1, graph.initializer(model, "spoiled", (codes * grid.scale).astype(np.float32)))
        return whole(model, path)

    monkeypatch.setattr(acts, "write", write)
    with pytest.raises(Exception, match="integer coverage"):
        quick("int8-ptq", keep_float=("classifier",))


def test_a_float_layer_answers_as_the_float_model_does(quick):
    everything = quick("float32", "int8-ptq", keep_float=("*",))
    assert left(everything)[0] == 0
    batch = {name: np.ones((2, 6), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    answers = [
        sessions.answer(sessions.open_session(everything.file_of(name), optimized=True), batch)
        for name in ("float32", "int8-ptq")
    ]
    assert np.allclose(*answers, atol=1e-5)


def test_a_float_table_is_stored_in_float_and_nothing_else_is(quick):
    bundle = quick("int8-ptq", keep_float=("embedding",))
    stored = {}
    for value in ir.load(bundle.file_of("int8-ptq")).graph.initializers.values():
        kind = str(value.const_value.dtype)
        stored[kind] = max(stored.get(kind, 0), value.const_value.size)
    assert stored["FLOAT"] == 3200 and stored["INT8"] == 3 * 32 * 32  # query, key and value


def test_the_report_lists_them_with_the_reason(quick):
    report = (quick("int8-ptq", keep_float=("classifier", "attention")).path / "export.md").read_text()
    assert "Layers kept off 8-bit grids by choice:" in report
    assert "| linear_13 | kept float by --keep-float classifier |" in report
    assert report.count("kept float by --keep-float attention") == 2
    assert "calibrated again on training samples, not trained" in report


def test_a_trained_model_takes_no_more_float_layers(quick, tmp_path):
    wanted = (
        r"adds layers to those that int8 was trained without; "
        r"type --variants original,float32,int8-ptq, or tune again with --keep-float"
    )
    with pytest.raises(UsageError, match=wanted):
        quick("original", "float32", "int8-ptq", "int8", keep_float=("classifier",))
    assert not (tmp_path / "bundle").exists()


def test_a_calibrated_one_does(quick, tmp_path):
    run = runs.make_run(tmp_path / "calibrated", "text", trained=False)
    bundle = quick("int8-ptq", "int8", run=run, keep_float=("classifier",))
    assert left(bundle, "int8") == left(bundle, "int8-ptq") and left(bundle)[0] == 9


def test_the_runs_own_layers_stay_float_without_being_asked(quick, tmp_path):
    run = runs.make_run(tmp_path / "kept", "text", kept=("classifier",))
    bundle = quick("int8-ptq", "int8", run=run)
    assert failed(bundle) == []
    assert (
        left(bundle, "int8")[1]
        == left(bundle)[1]
        == {name: "kept float by --keep-float classifier" for name in left(bundle)[1]}
    )
    assert left(bundle, "int8")[0] == 9
    more = quick("int8-ptq", run=run, keep_float=("*.intermediate.dense",))
    assert left(more)[0] == 7


def test_for_float_files_there_is_nothing_to_keep(quick):
    with pytest.raises(UsageError, match="--keep-float has no meaning for float files; add int8-ptq to --variants"):
        quick("float32", keep_float=("classifier",))


def test_an_unknown_layer_is_refused_before_a_bundle_is_written(quick, tmp_path):
    with pytest.raises(UsageError, match="--keep-float clasifier: this model has no such layer; did you mean"):
        quick("int8-ptq", keep_float=("clasifier",))
    assert not (tmp_path / "bundle").exists()


def test_auto_finds_the_layer_that_costs_the_accuracy(quick, tmp_path, capsys):
    run = runs.make_run(tmp_path / "spoiled", "text", model=_spoiled(), own_labels=True, n_test=80)
    plain = quick("int8-ptq", run=run)
    assert plain.variants["int8-ptq"]["parity"]["accuracy"]["file"] < 0.7
    bundle = quick("int8-ptq", run=run, keep_float=("auto",), budget="accuracy>=-20pt")
    kept = bundle.variants["int8-ptq"]["kept_float"]
    assert kept == [{"layer": "linear_12", "reason": "kept float by --keep-float auto for accuracy>=-20pt"}]
    assert bundle.variants["int8-ptq"]["parity"]["accuracy"]["file"] >= 0.8
    assert re.search(r"--keep-float auto: 1 of \d+ layers stay float \(linear_12\)", capsys.readouterr().out)


def _spoiled():
    """In the pooler a weight that nothing ever multiplies makes the scales of all others useless; answers differ from
    text to text, as they do not in a model as it is born."""
    model = runs.text_model()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
        last = model.bert.encoder.layer[1].output.LayerNorm
        last.weight[0] = last.bias[0] = 0
        model.bert.pooler.dense.weight[:, 0] = 3000.0
        ids = torch.randint(4, 94, (200, 12))
        pooled = model.bert(ids, torch.ones_like(ids)).pooler_output
        model.classifier.bias.copy_(-model.classifier.weight @ pooled.mean(0))
    return model


def test_sensitivity_in_manifest_file_and_report(quick):
    bundle = quick("int8-ptq", sensitivity=True)
    found = bundle.document["sensitivity"]
    assert (found["split"], found["n"], found["metric"], len(found["worst"])) == ("validation", 20, "accuracy", 10)
    costs = [row["alone"]["kl"] for row in found["worst"]]
    assert costs == sorted(costs, reverse=True) and costs[0] > 0
    assert set(found["worst"][0]["without"]) == {"kl", "agreement", "score"}
    whole = json.loads((bundle.path / "sensitivity.json").read_text())
    assert whole["schema"] == "edgeft-sensitivity/1" and whole["layers"][:10] == found["worst"]
    kinds = {row["kind"] for row in whole["layers"]}
    assert kinds == {"embedding", "layer_norm", "linear", "attention", "gelu", "tanh"}
    assert "sensitivity.json" in bundle.document["files"]
    report = (bundle.path / "export.md").read_text()
    worst = found["worst"][0]
    assert "## What quantizing each layer costs" in report
    assert f"| {worst['layer']} | {worst['module'] or worst['kind']} | {worst['alone']['kl']:.3g} |" in report


def test_sensitivity_needs_an_integer_file(quick):
    with pytest.raises(UsageError, match="only float files are asked for; add int8-ptq"):
        quick("float32", sensitivity=True)


def test_coverage_of_a_float_linear_layer_is_named_by_its_sum(tmp_path):
    """A linear layer on three axes is written as MatMul and Add; the engine's name is that of the sum."""
    from tests.exporting import graphs

    made = graphs.model(
        [
            graphs.helper.make_node("MatMul", ["x", "w"], ["val_1"], "node_MatMul_1"),
            graphs.helper.make_node("Add", ["val_1", "b"], ["linear_3"], "node_linear_3"),
            graphs.helper.make_node("Relu", ["linear_3"], ["logits"], "relu"),
        ],
        {"w": np.ones((4, 3), np.float32), "b": np.ones(3, np.float32)},
        x=("batch", 2, 4),
        y=("batch", 2, 3),
    )
    chosen = graphs.artifact(made, tmp_path, float_nodes={"linear_3": "kept float by --keep-float linear"})
    assert Coverage().run(chosen).passed
    assert not Coverage().run(graphs.artifact(made, tmp_path, float_nodes={"linear_4": "another"})).passed
