"""A small random member of every family through engine, training step, exporter, passes, gates and onnxruntime.

The page docs/families.md holds the counts: a family whose integer products are fewer than there fails here.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch

from benchmarks.families import LEAST_COSINE, WHY, export, failures, integer_of, measure, quantize, read_page
from benchmarks.zoo import MEMBERS, OUTPUT
from edgeft.exporting import gates, passes
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import products
from edgeft.exporting.gates.on_grid import OnGrid
from edgeft.exporting.reordered import Reordered
from edgeft.exporting.trace import trace
from edgeft.quant import engine
from edgeft.scheme import S8S8, S8S8_SYMMETRIC, U8S8_7BIT, U8U8, U16S8

PAGE = read_page()
# One of each family, the quickest; python -m benchmarks.families measures them all.
ONE_EACH = (
    "resnet mobilenetv2 mobilenetv3 efficientnet efficientnet-lite convnext vit deit-hf swin mobilevit bert "
    "distilbert mobilebert roberta deberta electra mpnet wav2vec2 hubert ast whisper"
).split()
# quantization.md 2.12: what an independent second build of the engine reached on the same models. There two products of
# attention and its three linear layers (one packed layer in timm's ViT) count for themselves, here as one kernel: two
# layers have 2 x 4 fewer products (2 x 2 in ViT).
INDEPENDENT = {
    "resnet": 21, "mobilenetv2": 53, "efficientnet-lite": 50, "mobilenetv3": 54, "vit": 14 - 4, "bert": 18 - 8,
    "wav2vec2": 27 - 8,
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_EACH)
def test_every_product_of_the_family_is_an_integer_one(name, tmp_path):
    row = measure(MEMBERS[name], tmp_path)
    integer, every = integer_of(PAGE[MEMBERS[name].title])
    assert (row.integer, len(row.products)) == (integer, every), [each for each in row.products if not each.integer]
    assert row.failed == []
    # by its name in the file, from which the report reads its types
    written = {str(node.name) for node in ir.load(tmp_path / "int8.onnx").graph}
    assert {product.name for product in row.products} <= written
    assert row.torch_cosine >= LEAST_COSINE and row.ort_cosine >= LEAST_COSINE
    assert row.float_kernels.keys() <= WHY.keys()


def test_the_page_has_every_member_and_all_their_products_are_integer_ones():
    assert list(PAGE) == [member.title for member in MEMBERS.values()]
    counts = {name: integer_of(PAGE[member.title]) for name, member in MEMBERS.items()}
    # Its queries and values are made of two tensors, and the kernel that takes linear layers in has one.
    assert [name for name, (integer, every) in counts.items() if integer != every] == ["mobilebert"]
    assert {name: counts[name][0] for name in INDEPENDENT} == INDEPENDENT
    assert {MEMBERS[name].family for name in ONE_EACH} == {member.family for member in MEMBERS.values()}


def _export(name, folder, scheme) -> tuple[Artifact, tuple]:
    example = MEMBERS[name].make()
    return export(quantize(example, scheme), example, folder, scheme)


@pytest.mark.parametrize(
    "name, scheme, integers",
    [
        ("mobilenetv3", S8S8, 54),
        ("distilbert", S8S8, 14),  # onnxruntime's attention kernel takes in linear layers of uint8 data only
        ("mobilenetv3", U8S8_7BIT, 54),
        ("distilbert", U8S8_7BIT, 10),
        ("mobilenetv3", U8U8, 54),
        ("bert", U8U8, 18),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_other_grids_are_integer_too(name, scheme, integers, tmp_path):
    artifact, pipeline = _export(name, tmp_path, scheme)
    assert failures(artifact, pipeline, scheme) == []
    found = products(artifact)
    assert sum(product.integer for product in found) == integers
    assert {product.kernel for product in found if not product.integer} <= {"MultiHeadAttention"}


@pytest.mark.parametrize("scheme", [S8S8_SYMMETRIC, U16S8], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("name, count", [("resnet", 21), ("mobilenetv3", 54), ("vit", 14), ("bert", 18)])
def test_grids_of_accelerators_are_in_the_file(name, count, scheme, tmp_path):
    artifact, pipeline = _export(name, tmp_path, scheme)
    assert failures(artifact, pipeline, scheme) == []
    outcome = OnGrid(scheme.activation).run(artifact)
    assert outcome.evidence.startswith(f"{count} of {count} products") and outcome.places == ()


def test_a_zero_point_where_the_target_wants_none_is_named(tmp_path):
    artifact, _ = _export("resnet", tmp_path, S8S8)
    outcome = OnGrid(S8S8_SYMMETRIC.activation).run(artifact)
    assert not outcome.passed and "the zero point of its data is not 0" in outcome.places[0]


def test_float_graph_computes_what_the_model_computes(tmp_path):
    family = MEMBERS["bert"].make()
    example = {name: tensor[:2] for name, tensor in family.batches[0].items()}
    graph = trace(engine.float_graph(family.model, family.inputs, example), family.inputs, OUTPUT, example, 20)
    passes.run(graph, passes.float_pipeline(20, 9))
    ir.save(graph, tmp_path / "float32.onnx")
    with torch.no_grad():
        expected = torch.cat([family.model(**batch).logits for batch in family.batches]).numpy()
    batches = [{name: tensor.numpy() for name, tensor in batch.items()} for batch in family.batches]
    ids = [str(index) for index in range(len(expected))]
    judged = Artifact("float32", tmp_path / "float32.onnx", family.inputs, OUTPUT, batches, ids, expected)
    assert [outcome for outcome in gates.run_all(judged, gates.float_gates()) if not outcome["passed"]] == []


@pytest.mark.parametrize("name", ["bert", "mobilenetv3"])
def test_reordered_sums_are_the_same_numbers_but_for_their_last_bits(name):
    family = MEMBERS[name].make()
    batch = family.batches[0]
    plain = engine.float_graph(family.model, family.inputs, {key: tensor[:2] for key, tensor in batch.items()})
    with torch.no_grad():
        one, other = plain(**batch), Reordered(plain)(**batch)
        again, third = Reordered(plain)(**batch), Reordered(plain, seed=1)(**batch)
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
    assert torch.equal(other, again) and not torch.equal(other, third) and not torch.equal(one, other)


def test_columns_come_in_the_order_of_the_labels(tmp_path):
    family = MEMBERS["distilbert"].make()
    example = {name: tensor[:2] for name, tensor in family.batches[0].items()}
    order = [3, 0, 1, 2, 9, 8, 7, 6, 5, 4]
    graph = trace(family.model, family.inputs, OUTPUT, example, 20, order)
    ir.save(graph, tmp_path / "ordered.onnx")
    batches = [{name: tensor.numpy() for name, tensor in family.batches[0].items()}]
    judged = Artifact("original", tmp_path / "ordered.onnx", family.inputs, OUTPUT, batches, [], np.zeros((8, 10)))
    with torch.no_grad():
        expected = family.model(**family.batches[0]).logits.numpy()[:, order]
    assert np.allclose(judged.plain, expected, atol=1e-5)
