"""The whole command on a small bundle with known answers, in real sessions."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from edgeft import checkout
from edgeft.errors import BudgetMissed, DataError, EdgeftError, FolderError, MachineError, ModelError, UsageError
from edgeft.evaluation import passes, record, run
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.result import Result
from edgeft.tasks import image_encoder
from tests.evaluation.make_bundle import LABELS, float_model, int8_model, make_bundle


@pytest.fixture
def evaluate(spec):
    def call(**options):
        return run.evaluate(spec(**options))

    return call


def test_figures_of_a_linear_model(evaluate, capsys):
    result = evaluate()
    document = result.document
    assert document["schema"] == "edgeft-result/1" and document["baseline"] == "original"
    original, int8 = document["variants"]["original"], document["variants"]["int8"]
    assert original["accuracy"]["value"] == int8["accuracy"]["value"] == 1.0
    assert original["accuracy"]["n"] == 30
    assert int8["matrix_kernels"] == {"integer": 1, "float": {}}
    assert original["matrix_kernels"]["float"] == {"Gemm": 1}
    assert sum(int8["nodes_by_provider"].values()) == int8["nodes_by_provider"]["CPUExecutionProvider"]
    assert document["comparisons"]["int8"]["accuracy"]["verdict"] == "undecided"  # 30 samples prove nothing
    assert document["comparisons"]["int8"]["accuracy"]["agreement"] == 1.0
    assert "int8" in capsys.readouterr().out


def test_one_total_is_said_once_the_time_of_a_query_is_known(evaluate, capsys):
    evaluate()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("time ")]
    assert re.fullmatch(r"time      about \d+ s: accuracy 1 s, latency \d+ s", line)


def test_what_speaks_against_the_run_is_said_before_it(evaluate, monkeypatch, capsys):
    start = Snapshot(load_1min=99.0, governors=("ondemand",), on_battery=True, temperature_c=48.0)
    monkeypatch.setattr(run.Snapshot, "take", lambda *given, **more: start)
    monkeypatch.setattr(run.passes, "cold", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    warned = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[1] for line in warned] == ["1-minute", "running"]  # load, battery; no governor, a note


def test_the_start_is_kept(evaluate):
    assert evaluate().document["checks"]["start"]["load_1min"] >= 0


def test_what_was_stated_of_the_surroundings_is_kept(evaluate):
    system = evaluate(surroundings="cooling=fan;ambient_c=22").document["system"]
    assert system["cooling"] == "fan" and system["ambient_c"] == 22.0 and system["stated"] == ["cooling", "ambient_c"]


def test_raw_samples_give_the_figures_again(evaluate):
    result = evaluate()
    samples, variant = result.samples(), result.document["variants"]["int8"]
    times = samples["int8/query_ns"]
    assert len(times) == variant["latency"]["n"] >= 80
    assert np.sort(times)[len(times) // 2] / 1e9 == pytest.approx(variant["latency"]["p50_s"])
    assert np.mean(samples["int8/predicted"] == samples["labels"]) == variant["accuracy"]["value"]
    assert samples["int8/logits"].shape == (30, 3)
    # logits are channel means; int8 keeps to half a step of its scales
    assert np.abs(samples["int8/logits"] - samples["original/logits"]).max() < 0.01
    blocks = [block["order"] for block in variant["latency"]["blocks"]]
    others = [block["order"] for block in result.document["variants"]["original"]["latency"]["blocks"]]
    assert sorted(blocks + others) == list(range(8))


def test_a_result_names_itself_its_models_and_the_sample_of_every_query(evaluate):
    result = evaluate()
    document, samples = result.document, result.samples()
    assert re.fullmatch("[0-9a-f]{32}", document["run_id"])
    assert checkout.record().items() <= document.items()
    assert document["checks"]["start"] and "gpu" not in document["system"]
    # 3 * 64 * 3 weights and a bias of 3
    original = document["variants"]["original"]
    assert (original["params"], original["dtypes"]) == (579, {"float32": 579})
    # w_q and w_zero; b_q and b_zero; two zero points; four scales
    assert document["variants"]["int8"]["dtypes"] == {"float32": 4, "int32": 4, "int8": 577, "uint8": 2}
    for name in ("original", "int8"):
        assert len(samples[f"{name}/query_position"]) == len(samples[f"{name}/query_ns"])
    # both variants begin the k-th of their blocks with the same sample
    starts = {name: np.unique(samples[f"{name}/query_block"], return_index=True)[1] for name in ("original", "int8")}
    first = [samples[f"{name}/query_position"][at].tolist() for name, at in starts.items()]
    assert first[0] == first[1] and len(first[0]) == 4


def test_the_record_has_what_another_measurement_needs_to_be_the_same(evaluate):
    document = evaluate().document
    runtime, data, int8 = document["runtime"], document["data"], document["variants"]["int8"]
    assert runtime["onnxruntime"]["package"].startswith("onnxruntime")
    # onnxruntime's own defaults: nothing else was asked for
    assert (runtime["mem_arena"], runtime["mem_pattern"], runtime["x64quantprecision"]) == (True, True, False)
    assert data["input_shape"] == {"pixel_values": ["batch", 3, 8, 8]} and "tokenizer_sha" not in data
    assert int8["accuracy"]["per_sample_file"] == "samples.npz"
    assert int8["latency"]["measured_s"] == pytest.approx(int8["latency"]["mean_s"] * int8["latency"]["n"])
    assert all({"text", "basis", "valid", "passed"} == set(claim) for claim in document["claims"])


def test_percentiles_without_enough_queries_say_how_many_they_need():
    # MLPerf's early stopping: p90 from 64 queries on, p95 from 130, p99 from 662
    queries = np.arange(1, 101) * 1_000_000
    assert record._needed(queries, (0.9, 0.95, 0.99)) == {"needs_n": {"p95": 130, "p99": 662}}
    assert record._needed(queries, (0.9,)) == {}
    assert set(record._estimates(queries, (0.9, 0.95, 0.99))) == {"p90_s"}


def test_macro_f1_of_the_same_answers_has_no_interval(evaluate):
    """Every resample of equal answers is equal: [0, 0] would look like certainty."""
    found = evaluate().document["comparisons"]["int8"]["accuracy"]
    assert found["agreement"] == 1.0 and found["macro_f1"] == {"diff": 0.0} and found["ci95"][0] < 0 < found["ci95"][1]


def test_cold_start_and_steady_runs_are_apart(evaluate):
    # M01
    latency = evaluate().document["variants"]["original"]["latency"]
    assert latency["cold"]["load_s"] > latency["p50_s"]
    assert latency["warmup"]["runs"] >= 10


def test_what_was_not_measured_is_absent(evaluate):
    document = evaluate(meter="none").document
    energy = document["variants"]["int8"]["energy"]
    assert energy == {"status": "not_measured", "reason": "not asked for (--meter none)"}
    assert "energy" not in document["comparisons"]["int8"]
    assert "winner" not in document and "null" not in json.dumps(document["variants"])


def test_wrong_labels_lower_accuracy_of_both(spec, tmp_path):
    bundle = make_bundle(tmp_path / "b", n=20, wrong_labels=(0, 1))
    document = run.evaluate(spec(bundle=bundle.path)).document
    assert document["variants"]["original"]["accuracy"]["value"] == pytest.approx(18 / 20)
    assert document["comparisons"]["int8"]["accuracy"]["diff"] == 0.0


def test_a_biased_variant_is_worse_and_its_class_named(spec, tmp_path):
    # +1 on "blue" makes every answer blue: right on a third of the images.
    models = {"original": float_model(), "int8": float_model(bias=(0.0, 0.0, 1.0))}
    bundle = make_bundle(tmp_path / "b", n=60, models=models)
    accuracy = run.evaluate(spec(bundle=bundle.path)).document["comparisons"]["int8"]["accuracy"]
    assert (accuracy["b"], accuracy["c"], accuracy["n"]) == (40, 0, 60)
    assert accuracy["verdict"] == "worse" and accuracy["diff"] == pytest.approx(-2 / 3)
    assert accuracy["worst_class"] == {"label": "red", "recall_drop": 1.0, "n": 20}
    # macro-F1: 1 before; after it blue has precision 1/3 and recall 1, so (0 + 0 + 1/2) / 3
    assert accuracy["macro_f1"]["diff"] == pytest.approx(0.5 / 3 - 1)


def test_an_image_cut_off_is_counted_and_no_variant_is_scored_on_it(spec, tmp_path):
    # D08
    bundle = make_bundle(tmp_path / "b", n=12, broken=(3, 7))
    result = run.evaluate(spec(bundle=bundle.path))
    assert result.document["data"]["n"] == 10 and result.document["data"]["unreadable"] == 2
    assert all(variant["accuracy"]["n"] == 10 for variant in result.document["variants"].values())
    assert set(result.samples()["positions"]) == set(range(12)) - {3, 7}
    flags = [flag["evidence"] for flag in result.document["validity"]["flags"] if flag["code"] == "unreadable"]
    assert len(flags) == 1 and flags[0].startswith("2 of 12 samples") and "00003.png" in flags[0]


def test_a_machine_that_prepares_images_otherwise_is_told_before_anything_is_measured(evaluate, monkeypatch, tmp_path):
    # M16: red and blue are swapped by whatever reads images here
    plain = image_encoder.ImageEncoder.__call__
    swapped = lambda self, contents: {name: value[:, ::-1] for name, value in plain(self, contents).items()}  # noqa: E731
    monkeypatch.setattr(image_encoder.ImageEncoder, "__call__", swapped)
    monkeypatch.setattr(run.passes, "cold", lambda *given: pytest.fail("measured all the same"))
    with pytest.raises(FolderError, match="prepared differently here than at export: pixel_values"):
        evaluate()
    assert not (tmp_path / "result").exists()


def test_a_bundle_without_a_reference_input_is_measured_and_says_so(spec, tmp_path):
    # M16
    bundle = make_bundle(tmp_path / "b", n=6)
    for name in ("eval/reference.npz", "eval/reference.png"):
        (bundle.path / name).unlink()
    document = {k: v for k, v in bundle.document.items() if k not in ("files", "manifest_sha256")}
    type(bundle).write_manifest(bundle.path, document)
    document = run.evaluate(spec(bundle=bundle.path)).document
    assert document["data"]["reference_input_checked"] is False
    assert "no_reference" in {flag["code"] for flag in document["validity"]["flags"]}


def test_a_reference_input_that_is_as_it_was_raises_no_flag(evaluate):
    # M16
    document = evaluate().document
    assert document["data"]["reference_input_checked"] is True
    assert "no_reference" not in {flag["code"] for flag in document["validity"]["flags"]}


def test_no_readable_image_at_all_is_an_error(spec, tmp_path):
    bundle = make_bundle(tmp_path / "b", n=3, broken=(0, 1, 2))
    with pytest.raises(DataError, match="not one held-out example"):
        run.evaluate(spec(bundle=bundle.path))
    assert not (tmp_path / "result").exists()


def test_a_label_the_model_does_not_know_stops(spec, tmp_path):
    # D04
    bundle = make_bundle(tmp_path / "b", n=3)
    place = bundle.path / "eval/examples.jsonl"
    changed = place.read_text().replace('"red"', '"bird"')
    place.write_text(changed)
    document = {k: v for k, v in bundle.document.items() if k not in ("files", "manifest_sha256")}
    type(bundle).write_manifest(bundle.path, document)
    with pytest.raises(FolderError, match="'bird'"):
        run.evaluate(spec(bundle=bundle.path))


def test_a_changed_byte_stops(spec, bundle_path, tmp_path):
    # K05
    copy = tmp_path / "copy"
    shutil.copytree(bundle_path, copy)
    content = bytearray((copy / "int8.onnx").read_bytes())
    content[-1] ^= 1
    (copy / "int8.onnx").write_bytes(bytes(content))
    with pytest.raises(FolderError, match="int8.onnx was changed"):
        run.evaluate(spec(bundle=copy))


def test_a_model_too_new_for_the_runtime_says_which_and_what_to_type(spec, tmp_path):
    # R01
    models = {"original": float_model(), "int8": float_model(ir=99)}
    bundle = make_bundle(tmp_path / "b", n=3, models=models)
    with pytest.raises(ModelError, match=r"IR version 99, and onnxruntime \S+ here reads up to \d+.*edgeft export RUN"):
        run.evaluate(spec(bundle=bundle.path))


def test_an_opset_too_new_says_which_and_what_to_type(spec, tmp_path):
    # R01
    bundle = make_bundle(tmp_path / "b", n=3, models={"original": float_model(opset=99)})
    with pytest.raises(ModelError, match=r"opset 99, and onnxruntime \S+ here takes up to \d+.*--opset \d+"):
        run.evaluate(spec(bundle=bundle.path))


def test_a_provider_that_is_not_there_stops(evaluate):
    with pytest.raises(MachineError, match="no CUDAExecutionProvider here"):
        evaluate(provider="CUDAExecutionProvider")


def test_a_fixed_batch_is_obeyed(spec, tmp_path):
    # E01
    model = float_model()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    bundle = make_bundle(tmp_path / "b", n=9, models={"original": model, "int8": int8_model()})
    document = run.evaluate(spec(bundle=bundle.path)).document
    assert document["variants"]["original"]["accuracy"]["value"] == 1.0
    assert "fixed_batch" in {flag["code"] for flag in document["validity"]["flags"]}


def test_inputs_are_cast_to_what_the_model_declares(spec, tmp_path):
    # E03: this variant wants float16; the preprocessing makes float32.
    model = float_model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["pixel_values"], ["wide"], to=onnx.TensorProto.FLOAT))
    model.graph.node[1].input[0] = "wide"
    bundle = make_bundle(tmp_path / "b", n=6, models={"original": float_model(), "float32": model})
    document = run.evaluate(spec(bundle=bundle.path)).document
    assert document["variants"]["float32"]["accuracy"]["value"] == 1.0


def test_graph_level_below_extended_is_recorded_and_flagged(spec, tmp_path):
    # R04
    profile = tmp_path / "slow.toml"
    profile.write_text(
        'id = "slow"\ntitle = "graph optimization off"\nscheme = "u8s8"\nproviders = ["CPUExecutionProvider"]\n'
        '[session_options]\ngraph_optimization_level = "disable_all"\n'
    )
    document = run.evaluate(spec(profile=str(profile))).document
    assert document["runtime"]["graph_opt_level"] == "disable_all"
    codes = {flag["code"]: flag["severity"] for flag in document["validity"]["flags"]}
    assert codes["graph_level"] == "warning" and codes["runs_in_float"] == "invalid"
    assert not document["validity"]["valid"]
    assert document["variants"]["int8"]["matrix_kernels"] == {"integer": 0, "float": {"Gemm": 1}}
    assert any(not claim["valid"] for claim in document["claims"])


def test_threads_are_those_asked_for_and_the_same_for_all(evaluate):
    # M13, R11
    runtime = evaluate(threads=1).document["runtime"]
    assert runtime["ep_chain"] == [{"provider": "CPUExecutionProvider", "options": {}}] and runtime["affinity"] == []
    assert runtime["intra_threads"] == 1 and runtime["inter_threads"] == 1


def test_paced_switches_spinning_off(evaluate):
    # R13
    document = evaluate(scenario="paced:1").document
    assert document["runtime"]["allow_spinning"] is False and document["scenario"] == "paced:1"


def test_offline_reports_samples_a_second(evaluate, tmp_path, capsys):
    latency = evaluate(scenario="offline").document["variants"]["int8"]["latency"]
    assert latency["batch"] > 1 and "end_to_end" not in latency
    said = capsys.readouterr().out
    assert f"offline: batches of {latency['batch']} (" in said and "at most 64)" in said
    assert "time      at most " in said  # the batch is not known yet when that is said
    report = (tmp_path / "result" / "report.md").read_text()
    assert "samples/s: original" in report and f"*: of a batch of {latency['batch']}" in report
    assert re.search(r"\| \d+\.\d+\* \| \d+\.\d+\* \|", report)
    assert latency["samples_per_s"] == pytest.approx(latency["batch"] / latency["p50_s"])


def test_limit_and_variants(evaluate):
    document = evaluate(limit=7, variants=("int8",)).document
    assert document["data"]["n"] == 7
    assert list(document["variants"]) == ["original", "int8"]  # the original always takes part
    assert "limit" in {flag["code"] for flag in document["validity"]["flags"]}


def test_an_unknown_variant_is_refused(evaluate):
    with pytest.raises(UsageError, match="did you mean 'int8'"):
        evaluate(variants=("int9",))


def test_dry_run_says_the_plan_and_writes_nothing(evaluate, tmp_path, capsys):
    assert evaluate(dry_run=True) is None
    assert "baseline original" in capsys.readouterr().out
    assert not (tmp_path / "result").exists()


def test_a_missed_budget_is_raised_after_everything_is_written(evaluate, tmp_path):
    with pytest.raises(BudgetMissed, match=r"size<=1KB \(int8 has 1\.\d+ KB\)") as missed:
        evaluate(budget="size<=1KB,latency_p50<=10s")
    assert missed.value.exit_code == 3
    lines = Result.open(tmp_path / "result").document["budget"]
    assert [line["passed"] for line in lines] == [False, True]


def test_a_kept_budget_names_the_winner(evaluate):
    document = evaluate(budget="accuracy>=-1pt,size<=2KB").document
    assert document["winner"] == "int8"  # the original is over 2 KB
    assert all(line["passed"] for line in document["budget"])
    assert document["budget"][1]["by_variant"]["original"]["passed"] is False


def test_a_budget_is_written_as_junit_whether_it_is_kept_or_missed(evaluate, tmp_path):
    evaluate(budget="size<=2KB", junit=tmp_path / "ci" / "kept.xml")
    with pytest.raises(BudgetMissed):
        evaluate(budget="size<=1KB,latency_p50<=10s", junit=tmp_path / "missed.xml")
    kept, missed = (ElementTree.parse(tmp_path / name).find("testsuite") for name in ("ci/kept.xml", "missed.xml"))
    assert (kept.get("failures"), missed.get("failures"), missed.get("tests")) == ("0", "1", "2")


@pytest.mark.parametrize("place, said", [("/proc/x.xml", "x.xml cannot be written"), ("", "is a folder")])
def test_a_place_that_cannot_hold_junit_is_refused_before_measuring(evaluate, tmp_path, monkeypatch, place, said):
    monkeypatch.setattr(passes, "latency", None)
    with pytest.raises(EdgeftError, match=said):
        evaluate(budget="size<=2KB", junit=Path(place) if place else tmp_path)


def test_junit_without_a_budget_is_refused(evaluate, tmp_path):
    with pytest.raises(UsageError, match="would hold no budget.*add --budget"):
        evaluate(junit=tmp_path / "x.xml")


def test_energy_in_a_budget_without_a_meter_is_refused_before_anything_runs(evaluate, tmp_path):
    with pytest.raises(MachineError, match="energy cannot be measured here"):
        evaluate(budget="energy<=30mJ")
    assert not (tmp_path / "result").exists()


def test_an_interrupted_run_leaves_the_older_result_whole(evaluate, tmp_path, monkeypatch):
    first = evaluate().document["created_utc"]
    monkeypatch.setattr(run.passes, "latency", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert Result.open(tmp_path / "result").document["created_utc"] == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".result")] == []


@pytest.mark.parametrize("name", ["text", "markdown", "json", "html"])
def test_every_format_is_printed(evaluate, capsys, name):
    evaluate(format=name)
    out = capsys.readouterr().out
    assert {"text": "claims\n", "markdown": "## Claims", "json": '"schema"', "html": "<!doctype html>"}[name] in out


def test_per_class_figures_speak_in_label_names(evaluate):
    assert set(evaluate().document["variants"]["original"]["accuracy"]["per_class"]) == set(LABELS)
