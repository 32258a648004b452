"""Small random models of several families through engine, exporter, passes and onnxruntime, with a free batch.

Every product must run in an integer kernel, and the file must compute what the fake-quantized model computes. Random
nets are chaotic (a tie rounded the other way moves everything after it), so parity is asked for to 0.995 only.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)  # fmt: skip

from edgeft.exporting import gates, passes, predict
from edgeft.exporting.gates.agreement import AgainstTorch, OffAgainstOn, cosine
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.coverage import products
from edgeft.exporting.gates.on_grid import OnGrid
from edgeft.exporting.reordered import Reordered
from edgeft.exporting.trace import trace
from edgeft.quant import engine
from edgeft.scheme import S8S8, S8S8_SYMMETRIC, U8S8, U8S8_7BIT, U8U8, U16S8, Scheme
from edgeft.tasks.task import TensorSpec
from tests.exporting.runs import with_biases

OUTPUT = TensorSpec("logits", "float32", ("batch", 10))


class Family(NamedTuple):
    model: nn.Module
    inputs: list[TensorSpec]
    batches: list[dict[str, torch.Tensor]]


class _Named(nn.Module):
    """A timm model called by the name of its input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values)


def _image(name: str, **how) -> Family:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = with_biases(_Named(timm.create_model(name, num_classes=10, **how)))
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
    batches = [{"pixel_values": torch.randn(8, 3, 64, 64, generator=generator)} for _ in range(4)]
    return Family(model.eval(), [TensorSpec("pixel_values", "float32", ("batch", 3, 64, 64))], batches)


def _text(kind: str) -> Family:
    torch.manual_seed(0)
    if kind == "bert":
        config = BertConfig(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, vocab_size=100,
            max_position_embeddings=64, num_labels=10,
        )  # fmt: skip
        model: nn.Module = BertForSequenceClassification(config)
        names = ["input_ids", "attention_mask", "token_type_ids"]
    else:
        config = DistilBertConfig(
            dim=64, n_layers=2, n_heads=2, hidden_dim=128, vocab_size=100, max_position_embeddings=64, num_labels=10
        )
        model, names = DistilBertForSequenceClassification(config), ["input_ids", "attention_mask"]
    # Larger weights than at birth, so that layers have something to say and attention is not flat.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    inputs = [TensorSpec(name, "int64", ("batch", "sequence")) for name in names]
    return Family(with_biases(model).eval(), inputs, [_padded(length, names) for length in (8, 12, 16, 20)])


def _padded(length: int, names: list[str]) -> dict[str, torch.Tensor]:
    """Eight rows, the last ones padded by up to three."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(1, 100, (8, length), generator=generator)
    mask = (torch.arange(length)[None] < length - torch.arange(8)[:, None] % 4).long()
    tensors = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return {name: tensors[name] for name in names}


FAMILIES = {
    "resnet18": (lambda: _image("resnet18"), 21),
    "mobilenetv2": (lambda: _image("mobilenetv2_035"), 53),
    "efficientnet-lite0": (lambda: _image("tf_efficientnet_lite0"), 50),
    "mobilenetv3": (lambda: _image("mobilenetv3_small_050"), 54),
    "vit": (lambda: _image("vit_tiny_patch16_224", img_size=64, depth=2), 14),
    # six linear layers and two products of activations a layer, pooler (BERT) or pre-classifier, and classifier
    "bert": (lambda: _text("bert"), 18),
    "distilbert": (lambda: _text("distilbert"), 18),
}


def _export(family: Family, folder, scheme: Scheme, opset: int = 20) -> tuple[Artifact, tuple]:
    """The int8 file of a family, calibrated on its own batches."""
    example = {name: tensor[:2] for name, tensor in family.batches[0].items()}
    built = engine.build(family.model, family.inputs, example, scheme)
    engine.calibrate(built, family.batches)
    with torch.no_grad():
        expected = torch.cat([built(**batch) for batch in family.batches]).numpy()
    predicted = predict.integer_bytes(built)
    built.set_mode("export")
    graph = trace(built, family.inputs, OUTPUT, example, opset)
    pipeline = passes.integer_pipeline(scheme, opset, 9 if opset < 21 else 10)
    passes.run(graph, pipeline)
    ir.save(graph, folder / "int8.onnx")
    batches = [{name: tensor.numpy() for name, tensor in batch.items()} for batch in family.batches]
    ids = [str(index) for index in range(len(expected))]
    options = {"session.qdqisint8allowed": "1"} if scheme is S8S8 else {}
    left = dict(built.float_nodes)
    artifact = Artifact(
        "int8", folder / "int8.onnx", family.inputs, OUTPUT, batches, ids, expected, predicted, left, options
    )
    return artifact, pipeline


def _failures(artifact: Artifact, pipeline, scheme: Scheme = U8S8) -> list:
    """All gates; parity as far as a random net can have it."""
    chaotic = (AgainstTorch, OffAgainstOn)
    asked = [gate for gate in gates.integer_gates(pipeline, scheme) if not isinstance(gate, chaotic)]
    return [outcome for outcome in gates.run_all(artifact, asked) if not outcome["passed"]]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_product_of_the_family_is_an_integer_one(name, tmp_path):
    make, count = FAMILIES[name]
    artifact, pipeline = _export(make(), tmp_path, U8S8)
    assert _failures(artifact, pipeline) == []
    found = products(artifact)
    assert Counter(product.integer for product in found) == {True: count}
    # by its name in the file, from which the report reads its types
    assert {product.name for product in found} <= {str(node.name) for node in artifact.model.graph}
    assert cosine(artifact.expected, artifact.plain) >= 0.995
    assert cosine(artifact.plain, artifact.optimized) >= 0.995


@pytest.mark.parametrize(
    "name, scheme",
    [
        ("mobilenetv3", S8S8),
        ("distilbert", S8S8),
        ("mobilenetv3", U8S8_7BIT),
        ("distilbert", U8S8_7BIT),
        ("mobilenetv3", U8U8),
        ("bert", U8U8),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_other_grids_are_integer_too(name, scheme, tmp_path):
    make, count = FAMILIES[name]
    artifact, pipeline = _export(make(), tmp_path, scheme)
    assert _failures(artifact, pipeline, scheme) == []
    assert Counter(product.integer for product in products(artifact)) == {True: count}
    assert cosine(artifact.expected, artifact.plain) >= 0.995


@pytest.mark.parametrize("scheme", [S8S8_SYMMETRIC, U16S8], ids=lambda scheme: scheme.name)
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3", "vit", "bert"])
def test_grids_of_accelerators_are_in_the_file(name, scheme, tmp_path):
    make, count = FAMILIES[name]
    artifact, pipeline = _export(make(), tmp_path, scheme, opset=scheme.opset)
    assert _failures(artifact, pipeline, scheme) == []
    outcome = OnGrid(scheme.activation).run(artifact)
    assert outcome.evidence.startswith(f"{count} of {count} products") and outcome.places == ()
    assert cosine(artifact.expected, artifact.plain) >= 0.995


def test_a_zero_point_where_the_target_wants_none_is_named(tmp_path):
    artifact, _ = _export(_image("resnet18"), tmp_path, S8S8)
    outcome = OnGrid(S8S8_SYMMETRIC.activation).run(artifact)
    assert not outcome.passed and "the zero point of its data is not 0" in outcome.places[0]


def test_float_graph_computes_what_the_model_computes(tmp_path):
    family = _text("bert")
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
    family = FAMILIES[name][0]()
    batch = family.batches[0]
    plain = engine.float_graph(family.model, family.inputs, {key: tensor[:2] for key, tensor in batch.items()})
    with torch.no_grad():
        one, other = plain(**batch), Reordered(plain)(**batch)
        again, third = Reordered(plain)(**batch), Reordered(plain, seed=1)(**batch)
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
    assert torch.equal(other, again) and not torch.equal(other, third) and not torch.equal(one, other)


def test_columns_come_in_the_order_of_the_labels(tmp_path):
    family = _text("distilbert")
    example = {name: tensor[:2] for name, tensor in family.batches[0].items()}
    order = [3, 0, 1, 2, 9, 8, 7, 6, 5, 4]
    graph = trace(family.model, family.inputs, OUTPUT, example, 20, order)
    ir.save(graph, tmp_path / "ordered.onnx")
    batches = [{name: tensor.numpy() for name, tensor in family.batches[0].items()}]
    judged = Artifact("original", tmp_path / "ordered.onnx", family.inputs, OUTPUT, batches, [], np.zeros((8, 10)))
    with torch.no_grad():
        expected = family.model(**family.batches[0]).logits.numpy()[:, order]
    assert np.allclose(judged.plain, expected, atol=1e-5)
