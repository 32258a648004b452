from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from edgeft.errors import MachineError, ModelError, UsageError
from edgeft.tuning import freeze as freezing
from edgeft.tuning.freeze import freeze, frozen_tensors, hash_tensors, held_still, prove_unchanged, refuse_missing
from edgeft.tuning.parts import table
from tests.tuning import small


def bert() -> nn.Module:
    transformers.set_seed(0)
    return transformers.BertForSequenceClassification(small.bert_config())


def resnet(folder: Path) -> nn.Module:
    return transformers.TimmWrapperForImageClassification.from_pretrained(small.save_timm(folder))


def learning(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_backbone_leaves_the_head() -> None:
    model = bert()
    freeze(model, "backbone")
    assert learning(model) == {"classifier.weight", "classifier.bias"}


def test_a_new_pooler_learns_although_it_is_part_of_the_body() -> None:
    model = bert()
    freeze(model, "backbone", fresh=("bert.pooler",))
    assert learning(model) == {
        "classifier.weight", "classifier.bias", "bert.pooler.dense.weight", "bert.pooler.dense.bias",
    }  # fmt: skip


def test_last_n_blocks_learn_with_all_that_follows() -> None:
    model = bert()
    freeze(model, "last:1")
    names = learning(model)
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in names} == {
        "bert.encoder", "bert.pooler", "classifier.weight", "classifier.bias",
    }  # fmt: skip
    assert all(".layer.1." in name for name in names if "encoder" in name)


def test_embeddings_and_none_and_regex() -> None:
    model = bert()
    everything = {name for name, _ in model.named_parameters()}
    freeze(model, "embeddings")
    assert everything - learning(model) == {name for name in everything if name.startswith("bert.embeddings.")}
    freeze(model, "none")
    assert learning(model) == everything
    freeze(model, r"regex:attention\.")
    assert everything - learning(model) == {name for name in everything if "attention." in name}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("backbon", "did you mean 'backbone'"),
        ("last:3", "more than the model's 2 blocks"),
        ("regex:nothing_like_this", "matches no parameter"),
        ("regex:(", "no regular expression"),
        ("regex:.", "leaves nothing to train"),
        ("last:two", "more than the model's 2 blocks"),
        ("none:1", "'none:1' is unknown"),
    ],
)
def test_what_cannot_be_frozen(kind: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        freeze(bert(), kind)


def test_frozen_weights_and_statistics_keep_still_bit_for_bit(tmp_path: Path) -> None:  # T03
    model = resnet(tmp_path / "m")
    freeze(model, "backbone")
    before = hash_tensors(frozen_tensors(model))
    assert {"timm_model.bn1.running_mean", "timm_model.layer4.1.bn2.num_batches_tracked"} <= set(before)
    learning_parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning_parameters, lr=1e-2, weight_decay=0.1)
    head = model.timm_model.fc.weight.detach().clone()
    with held_still(model):
        for step in range(50):
            model.train()
            images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(step))
            model(pixel_values=images).logits.square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    record = prove_unchanged(before, hash_tensors(frozen_tensors(model)))
    assert len(record) == len(before) and all(r["sha256_before"] == r["sha256_after"] for r in record)
    assert not torch.equal(head, model.timm_model.fc.weight)


def test_without_being_held_still_statistics_would_change(tmp_path: Path) -> None:  # T03
    model = resnet(tmp_path / "m")
    freeze(model, "backbone")
    before = hash_tensors(frozen_tensors(model))
    model.train()
    model(pixel_values=torch.randn(4, 3, 32, 32))
    with pytest.raises(ModelError, match="frozen tensors changed"):
        prove_unchanged(before, hash_tensors(frozen_tensors(model)))


def test_a_learning_batchnorm_keeps_the_statistics_it_brings_and_gathers_those_it_lacks() -> None:
    pretrained, newborn = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    pretrained.running_mean.fill_(0.5)
    model = torch.nn.Sequential(pretrained, newborn)
    with held_still(model):
        model.train()
        model(torch.randn(8, 3, 4, 4) + 2)
    assert pretrained.running_mean.tolist() == [0.5] * 3
    assert newborn.running_mean.abs().min() > 0.1
    assert pretrained.weight.requires_grad


def test_dropout_of_frozen_modules_is_off_and_of_the_head_is_on() -> None:
    model = bert()
    freeze(model, "backbone")
    with held_still(model):
        model.train()
        model(input_ids=torch.tensor([[2, 5, 3]]))
        assert not model.bert.embeddings.dropout.training
        assert model.dropout.training


def test_the_table_names_blocks_and_states() -> None:
    model = bert()
    freeze(model, "last:1")
    rate = {name: 2e-4 if "pooler" in name else 1e-4 for name, p in model.named_parameters() if p.requires_grad}
    lines = table(model, rate)
    assert lines[0].split() == ["part", "parameters", "state", "learning", "rate"]
    found = {line.split()[0]: line.split()[2:] for line in lines[1:-1]}
    assert found["bert.encoder.layer.0"] == ["frozen"]
    assert found["bert.encoder.layer.1"] == ["learning", "0.0001"]
    assert found["bert.pooler"] == ["learning", "0.0002"]
    whole = sum(p.numel() for p in model.parameters())
    learning_count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert lines[-1] == f"{learning_count:,} of {whole:,} parameters learn"


def test_lora_learns_beside_the_linear_layers_of_the_body() -> None:
    model = bert()
    freeze(model, "lora")
    weights = {name for name in learning(model) if "classifier" not in name}
    layer = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
             "intermediate.dense", "output.dense")  # fmt: skip
    of_blocks = {f"bert.encoder.layer.{block}.{name}.weight" for block in (0, 1) for name in layer}
    assert weights == {*of_blocks, "bert.pooler.dense.weight"}


def test_a_missing_package_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezing, "is_installed", lambda name: False)
    refuse_missing(["backbone", "none"])
    with pytest.raises(MachineError, match=r"--freeze lora needs the package peft; pip install 'edgeft\[lora\]'"):
        refuse_missing(["backbone", "lora"])
