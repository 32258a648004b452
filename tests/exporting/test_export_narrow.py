"""Whole bundles of narrow schemes: 4-bit weights, ranges taken at run time, float16, fixed sizes, TensorRT."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgeft.bundle import Bundle
from edgeft.errors import UsageError
from edgeft.exporting import sessions
from edgeft.exporting.acts import choose_variants
from edgeft.exporting.run import export
from edgeft.profile import load_profile
from edgeft.quant.attention import WHY_FLOAT
from edgeft.runfolder import Run
from edgeft.specs import ExportSpec
from edgeft.tasks import TASKS
from tests.exporting import runs


def _target(folder, scheme, provider="CPUExecutionProvider") -> str:
    """A profile of one's own: a TOML file."""
    place = folder / "target.toml"
    place.write_text(f'id = "target"\ntitle = "A target"\nscheme = "{scheme}"\nproviders = ["{provider}"]\n')
    return str(place)


def _bundle(folder, kind, scheme, *variants, **how) -> Bundle:
    run = runs.make_run(folder, kind, scheme=scheme, profile=_target(folder, scheme), n_test=12, **how)
    return export(ExportSpec(run=run, output=folder / "bundle", variants=variants or None))


def _failed(bundle: Bundle) -> list:
    return [gate for gate in bundle.document["gates"] if not gate["passed"]]


@pytest.fixture(scope="module")
def int4(tmp_path_factory):
    return _bundle(tmp_path_factory.mktemp("int4"), "text", "int4")


def test_files_of_4_bit_weights_are_called_so(int4):
    assert list(int4.variants) == ["original", "float32", "int4-ptq", "int4"] and _failed(int4) == []
    assert int4.variants["int4-ptq"]["title"] == "weights rounded, not trained"
    found = int4.variants["int4"]
    assert (found["opset"], found["ir_version"], found["scheme"]) == (21, 10, "int4")
    # 14 linear layers; attention stays float
    assert found["integer_coverage"]["integer"] == 14 and found["integer_coverage"]["all"] == 16
    reasons = {node["reason"] for node in found["integer_coverage"]["float_nodes"]}
    assert reasons == {WHY_FLOAT}
    assert found["parity"]["fused_same_answer"] == 1 and found["parity"]["torch_cosine"] > 0.9999


def test_weights_of_the_file_take_4_bits(int4):
    model = ir.load(int4.file_of("int4"))
    stored = [value.const_value for value in model.graph.initializers.values()]
    # all but the classifier: per layer 4 of 32 x 32 and 2 of 32 x 64, and the pooler
    numbers = sum(tensor.size for tensor in stored if tensor.dtype is ir.DataType.INT4)
    assert numbers == 2 * (4 * 32 * 32 + 2 * 32 * 64) + 32 * 32
    assert sum(tensor.nbytes for tensor in stored if tensor.dtype is ir.DataType.INT4) == numbers // 2


def test_the_report_says_what_the_kernel_does(int4):
    report = (int4.path / "export.md").read_text()
    data = "float32, int8 in blocks of 32 in the kernel"
    assert f"| MatMul | MatMulNBits | {data} | int4 in blocks of 32 | float32 | 12 |" in report
    assert f"| Gemm | MatMulNBits | {data} | int8 in blocks of 32 | float32 | 1 |" in report
    assert "Kernels of int4 round data in blocks, which the file does not say" in report


def test_a_variant_of_another_scheme_is_refused(int4, tmp_path):
    run = int4.path.parent / "run"
    with pytest.raises(UsageError, match="has no int8: it was tuned for 4-bit.*called int4-ptq and int4"):
        export(ExportSpec(run=run, output=tmp_path / "bundle", variants=("float32", "int8")))


def test_a_scheme_chosen_for_the_profile_stands(tmp_path):
    run = runs.make_run(tmp_path, "text", scheme="int4", profile="x86-64-vnni", n_test=12)
    assert load_profile("x86-64-vnni").scheme == "u8s8"
    bundle = export(ExportSpec(run=run, output=tmp_path / "bundle", variants=("int4",)))
    assert bundle.scheme_name == "int4" and _failed(bundle) == []


def test_ranges_at_run_time_are_integer_products(tmp_path):
    bundle = _bundle(tmp_path, "text", "u8s8-dynamic", "int8")
    coverage = bundle.variants["int8"]["integer_coverage"]
    assert _failed(bundle) == [] and (coverage["integer"], coverage["all"]) == (14, 16)
    report = (bundle.path / "export.md").read_text()
    assert "| MatMulInteger | MatMulIntegerToFloat | uint8 at run time | int8 | float32 | 6 |" in report
    assert "| MatMulInteger | DynamicQuantizeMatMul | uint8 at run time | int8 | float32 | 8 |" in report


@pytest.mark.parametrize("kind", ["text", "image"])
def test_float16_is_half_as_large_and_answers_alike(tmp_path, kind):
    bundle = _bundle(tmp_path, kind, "u8s8", "float32", "float16")
    assert _failed(bundle) == []
    assert [value["scheme"] for value in bundle.variants.values()] == ["float32", "float16"]
    sizes = {}
    for variant in bundle.variants:
        stored = [value.const_value for value in ir.load(bundle.file_of(variant)).graph.initializers.values()]
        sizes[variant] = sum(tensor.nbytes for tensor in stored if tensor.dtype.name.startswith("FLOAT"))
        assert {value.dtype for value in ir.load(bundle.file_of(variant)).graph.outputs} == {ir.DataType.FLOAT}
    assert sizes["float16"] == sizes["float32"] / 2
    parity = bundle.variants["float16"]["parity"]
    assert parity["torch_same_answer"] == 1 and 0.9999 < parity["torch_cosine"] < 1


def test_a_gpu_target_gets_float16_by_itself(tmp_path):
    run = runs.make_run(tmp_path, "image", scheme="u8s8", n_test=3)
    profile = load_profile(_target(tmp_path, "u8s8", "CUDAExecutionProvider"))
    assert choose_variants(Run.open(run), profile, None) == ("original", "float32", "float16", "int8-ptq", "int8")
    assert choose_variants(Run.open(run), load_profile("generic"), None) == ("original", "float32", "int8-ptq", "int8")


def test_a_target_with_fixed_sizes_gets_one_query_at_a_time(tmp_path):
    bundle = _bundle(tmp_path, "text", "u8u8")
    assert _failed(bundle) == []
    assert [spec["shape"] for spec in bundle.document["inputs"]] == [[1, 32]] * 3
    assert bundle.document["outputs"][0]["shape"] == [1, 3]
    # the device pads as the file wants it, by the same description
    task = TASKS.load("text-classification")
    encoder = task.encoder(bundle.preprocessing, bundle.path)
    batch = encoder(["w1 w2"])
    assert batch["input_ids"].shape == (1, 32) and batch["attention_mask"].sum() == 4
    answers = {}
    for variant in bundle.variants:
        session = sessions.open_session(bundle.file_of(variant), optimized=True)
        assert session.get_inputs()[0].shape == [1, 32]
        answers[variant] = sessions.answer(session, batch)
    assert np.allclose(answers["original"], answers["float32"], atol=1e-5)
    assert np.allclose(answers["original"], answers["int8"], atol=0.05)


def test_16_bit_files_with_fixed_sizes_hold_tables_of_16_bits(tmp_path):
    bundle = _bundle(tmp_path, "text", "u16s8", "int8")
    assert _failed(bundle) == [] and bundle.variants["int8"]["opset"] == 21
    model = ir.load(bundle.file_of("int8"))
    tables = [node.inputs[0].producer().inputs[0] for node in model.graph if node.op_type == "Gather"]
    kinds = {value.const_value.dtype for value in tables if value.is_initializer()}
    assert kinds == {ir.DataType.UINT16}


@pytest.mark.parametrize("kind", ["text", "image"])
def test_tensorrt_files_have_pairs_on_inputs_only(tmp_path, kind):
    bundle = _bundle(tmp_path, kind, "s8s8-symmetric", "int8")
    assert _failed(bundle) == []
    assert "pairs on inputs" in [gate["gate"] for gate in bundle.document["gates"]]
