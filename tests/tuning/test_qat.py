from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from edgeft.quant import store
from edgeft.scheme import U8S8
from edgeft.tasks import TASKS
from edgeft.tuning import qat
from edgeft.tuning.batches import Collate
from edgeft.tuning.batchsize import Step
from edgeft.tuning.load import load
from edgeft.tuning.losses import distillation
from edgeft.tuning.preprocessing import text_preprocessing
from edgeft.tuning.score import Judge
from edgeft.tuning.source import find_source
from tests.tuning import small

CPU = torch.device("cpu")


@pytest.fixture
def setting(tmp_path: Path) -> Any:
    dataset = small.text_dataset(tmp_path / "data")
    folder = small.save_bert(tmp_path / "bert")
    transformers.set_seed(0)
    task = TASKS.load("text-classification")
    loaded = load(find_source(str(folder), tmp_path / "o"), task.auto_model, "text", dataset.labels, False)
    preprocessing = text_preprocessing(loaded.processor, loaded.model.config, None, tmp_path)
    encoder = task.encoder(preprocessing, tmp_path)
    judge = Judge(task, encoder, dataset.splits, dataset.labels, 16)
    return loaded.model.eval(), encoder, judge, dataset.splits["train"]


def calibrated(setting: Any, n: int = 16, seed: int = 0) -> Any:
    model, encoder, _, train = setting
    return qat.calibrated_model(model, U8S8, encoder, train, n, seed)


def test_calibration_takes_seeded_training_samples_and_records_them(setting: Any, tmp_path: Path) -> None:
    quantized, calibration = calibrated(setting)
    assert len(set(calibration.ids)) == 16
    assert set(calibration.ids) <= {example.id for example in setting[3]}
    assert calibrated(setting)[1].ids == calibration.ids
    assert calibrated(setting, seed=1)[1].ids != calibration.ids
    qat.save_calibrated(quantized, calibration, tmp_path / "quantized")
    record = json.loads((tmp_path / "quantized" / "calibration.json").read_text())
    assert record["n"] == 16 and record["ids"] == list(calibration.ids)
    import hashlib

    assert record["sha256"] == hashlib.sha256("\n".join(calibration.ids).encode()).hexdigest()


def test_more_samples_than_there_are_means_all(setting: Any) -> None:
    assert len(calibrated(setting, n=1000)[1].ids) == len(setting[3])


def trained(setting: Any, folder: Path, epochs: float = 1.0, **rest: Any) -> Any:
    model, encoder, judge, train = setting
    quantized, _ = calibrated(setting)
    recipe = qat.qat_recipe(epochs, Step(8), 0, "none")
    outcome = qat.train_quantized(
        quantized, recipe, distillation(model), judge, train, Collate(encoder, 0),
        folder=folder, seed=0, device=CPU, **rest,
    )  # fmt: skip
    return quantized, outcome


def scales(quantized: Any) -> dict[str, torch.Tensor]:
    return {name: quantizer.scale.detach().clone() for name, quantizer in quantized.quantizers()}


def test_scales_learn_until_the_ranges_are_frozen(setting: Any, tmp_path: Path) -> None:
    start = scales(calibrated(setting)[0])
    never, _ = trained(setting, tmp_path / "never", learn_ranges=0.0)
    assert all(torch.equal(start[name], scale) for name, scale in scales(never).items())
    some, outcome = trained(setting, tmp_path / "some", learn_ranges=1 / 3)
    assert any(not torch.equal(start[name], scale) for name, scale in scales(some).items())
    assert all(not quantizer.scale.requires_grad for _, quantizer in some.quantizers())
    assert outcome.steps == 6


def test_a_third_of_the_steps_is_the_default(setting: Any, tmp_path: Path) -> None:
    learning: list[bool] = []

    def watching(logits: Any, labels: Any, inputs: Any) -> Any:
        learning.append(any(q.scale.requires_grad for _, q in quantized.quantizers()))
        return distillation(setting[0])(logits, labels, inputs)

    model, encoder, judge, train = setting
    quantized, _ = calibrated(setting)
    qat.train_quantized(
        quantized, qat.qat_recipe(1.0, Step(8), 0, "none"), watching, judge, train, Collate(encoder, 0),
        folder=tmp_path, seed=0, device=CPU,
    )  # fmt: skip
    assert learning == [True, True, False, False, False, False]


def test_dropout_is_off_while_it_trains(setting: Any) -> None:
    model, encoder, _, train = setting
    assert model.config.hidden_dropout_prob > 0
    quantized, _ = calibrated(setting)
    quantized.train()
    tensors = qat.example(encoder, train, CPU)
    assert torch.equal(quantized(**tensors), quantized(**tensors))
    assert not any("dropout" in str(node.target) for node in quantized.graph.graph.nodes)


def test_scales_stay_within_their_bounds_after_every_step(setting: Any, tmp_path: Path) -> None:
    """A rate that would drive scales below zero and beyond what a clip allows."""
    model, encoder, judge, train = setting
    quantized, _ = calibrated(setting)
    for _, quantizer in quantized.quantizers():
        quantizer.clip = (-0.05, 0.05)
        quantizer._refresh()
    seen: list[float] = []

    def watching(logits: Any, labels: Any, inputs: Any) -> Any:
        for _, quantizer in quantized.quantizers():
            if quantizer.scale.requires_grad and len(seen) > 1:
                assert (quantizer.scale > 0).all() and (quantizer.scale <= quantizer._largest).all()
        seen.append(0.0)
        return distillation(model)(logits, labels, inputs)

    optimizer = qat._optimizer

    def fast(model: Any, recipe: Any) -> Any:
        made = optimizer(model, recipe)
        made.param_groups[-1]["lr"] = 1.0
        return made

    qat._optimizer = fast
    try:
        qat.train_quantized(
            quantized, qat.qat_recipe(1.0, Step(8), 0, "none"), watching, judge, train, Collate(encoder, 0),
            folder=tmp_path, seed=0, device=CPU, learn_ranges=1.0,
        )  # fmt: skip
    finally:
        qat._optimizer = optimizer
    assert len(seen) == 6


def test_weights_learn_and_frozen_ones_do_not(setting: Any, tmp_path: Path) -> None:
    model = setting[0]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith("bert.embeddings"))
    before = {name: p.detach().clone() for name, p in calibrated(setting)[0].named_parameters()}
    quantized, _ = trained(setting, tmp_path)
    changed = {name for name, p in quantized.named_parameters() if not torch.equal(before[name], p)}
    assert any("encoder" in name and name.endswith("weight") for name in changed)
    assert not any("embeddings" in name and name.endswith("weight") for name in changed)


def test_with_a_frozen_backbone_step_sizes_and_head_learn(setting: Any, tmp_path: Path) -> None:
    model = setting[0]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("classifier"))
    before = {name: p.detach().clone() for name, p in calibrated(setting)[0].named_parameters()}
    quantized, _ = trained(setting, tmp_path, learn_ranges=1.0)
    changed = {name for name, p in quantized.named_parameters() if not torch.equal(before[name], p)}
    plain = {name for name in changed if not name.endswith("_fq.scale")}
    assert plain == {"graph.model.classifier.weight", "graph.model.classifier.bias"}
    assert any("linear_3_weight" in name for name in changed)  # the step sizes of a frozen weight


def test_the_optimizer_has_scales_apart_and_nothing_frozen(setting: Any) -> None:  # T03
    model = setting[0]
    model.bert.embeddings.requires_grad_(False)
    quantized, _ = calibrated(setting)
    optimizer = qat._optimizer(quantized, qat.qat_recipe(1, Step(8), 0, "none"))
    held = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in quantized.named_parameters():
        assert (id(parameter) in held) == parameter.requires_grad, name
    for parameter in quantized.scale_parameters():
        assert (held[id(parameter)]["lr"], held[id(parameter)]["weight_decay"]) == (1e-5, 0.0)
    weight = next(p for n, p in quantized.named_parameters() if "output" in n and n.endswith("weight") and p.dim() > 1)
    assert (held[id(weight)]["lr"], held[id(weight)]["weight_decay"]) == (2e-5, 0.01)


def test_distillation_brings_the_student_to_its_teacher(setting: Any, tmp_path: Path) -> None:
    model, encoder, _, train = setting
    batch = Collate(encoder, 0)([((0, index), example) for index, example in enumerate(train)])
    labels = batch.pop("labels")
    loss = distillation(model)

    def distance(quantized: Any) -> float:
        with torch.no_grad():
            return float(loss(quantized(**batch), labels, batch))

    start = distance(calibrated(setting)[0])
    assert distance(trained(setting, tmp_path, epochs=4.0)[0]) < start


def test_a_part_of_an_epoch(setting: Any, tmp_path: Path) -> None:
    assert trained(setting, tmp_path, epochs=0.5)[1].steps == 3


def test_saved_and_loaded_it_computes_the_same(setting: Any, tmp_path: Path) -> None:
    model, encoder, _, train = setting
    quantized, calibration = calibrated(setting)
    qat.save_calibrated(quantized, calibration, tmp_path / "quantized")
    quantized, _ = trained(setting, tmp_path)
    qat.save_trained(quantized, tmp_path / "quantized")
    names = {"calibrated.safetensors", "trained.safetensors", "quantization.json", "calibration.json"}
    assert {file.name for file in (tmp_path / "quantized").iterdir()} == names
    again, _ = calibrated(setting, n=2)
    store.load_state(again, tmp_path / "quantized", "trained")
    tensors = qat.example(encoder, train, CPU)
    torch.testing.assert_close(again(**tensors), quantized(**tensors), rtol=0, atol=0)
