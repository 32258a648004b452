from __future__ import annotations

import pytest
import transformers
from torch import nn

from edgeft.tuning.architecture import before_blocks, block_names, head_names
from tests.tuning import small

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def timm(name: str) -> nn.Module:
    return transformers.TimmWrapperForImageClassification(
        transformers.TimmWrapperConfig(architecture=name, num_labels=3)
    )


def distilbert() -> nn.Module:
    config = transformers.DistilBertConfig(vocab_size=24, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    return transformers.DistilBertForSequenceClassification(config)


def resnet() -> nn.Module:
    config = transformers.ResNetConfig(depths=[2, 2], hidden_sizes=[8, 8], layer_type="basic", embedding_size=8)
    return transformers.ResNetForImageClassification(config)


# family: head, number of blocks, first block, something registered before the blocks
FAMILIES = {
    "bert": (
        lambda: transformers.BertForSequenceClassification(small.bert_config()),
        ("classifier",), 2, "bert.encoder.layer.0", "bert.embeddings.word_embeddings.weight",
    ),
    "distilbert": (
        distilbert, ("pre_classifier", "classifier"), 2, "distilbert.transformer.layer.0",
        "distilbert.embeddings.word_embeddings.weight",
    ),
    "vit": (
        lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**TINY)),
        ("classifier",), 2, "vit.layers.0", "vit.embeddings.cls_token",
    ),
    "resnet": (
        resnet, ("classifier",), 4, "resnet.encoder.stages.0.layers.0", "resnet.embedder.embedder.convolution.weight",
    ),
    "timm efficientnet": (
        lambda: timm("tf_efficientnet_lite0"),
        ("timm_model.classifier",), 15, "timm_model.blocks.1.0", "timm_model.conv_stem.weight",
    ),
    "timm mobilenet": (
        lambda: timm("mobilenetv3_small_050"),
        ("timm_model.classifier",), 10, "timm_model.blocks.1.0", "timm_model.conv_stem.weight",
    ),
    "timm resnet": (
        lambda: timm("resnet18"), ("timm_model.fc",), 8, "timm_model.layer1.0", "timm_model.conv1.weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_head_and_blocks(family: str) -> None:
    make, head, blocks, first, stem = FAMILIES[family]
    model = make()
    assert head_names(model) == head
    assert len(block_names(model)) == blocks
    assert block_names(model)[0] == first
    assert stem in before_blocks(model)
