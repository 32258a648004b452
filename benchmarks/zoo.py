"""Small random models of the families the engine must take, with the inputs a device would feed.

Sizes are cut until a model is captured in about a second; structure is that of the real one. Weights are wider than
at birth, biases and BatchNorm statistics random, so that every layer has something to say and nothing cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from edgeft.tasks.task import TensorSpec

LABELS = 10
OUTPUT = TensorSpec("logits", "float32", ("batch", LABELS))
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Example:
    """A model, what a device feeds it, and four batches of eight samples."""

    model: nn.Module
    inputs: tuple[TensorSpec, ...]
    batches: list[Batch]


@dataclass(frozen=True)
class Member:
    """One row of the table of families.

    family  as people call it
    title   whose implementation: a class of transformers or a name of timm
    make    builds it, seeded
    """

    family: str
    title: str
    make: Callable[[], Example]


class Named(nn.Module):
    """A timm model called by the name of its input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values)
        return logits


def with_statistics(model: nn.Module) -> nn.Module:
    """Biases and BatchNorm as a trained model has them: those of a fresh one are zeros and ones, and fold away."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr]
    return model.eval()


def _images(pixels: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [{"pixel_values": torch.randn(8, 3, pixels, pixels, generator=generator)} for _ in range(4)]


def _image(pixels: int) -> tuple[TensorSpec, ...]:
    return (TensorSpec("pixel_values", "float32", ("batch", 3, pixels, pixels)),)


def timm(name: str, pixels: int = 64, **sizes: Any) -> Callable[[], Example]:
    def build() -> nn.Module:
        import timm

        return timm.create_model(name, num_classes=LABELS, **sizes)  # type: ignore[no-any-return]

    return _pictures(build, pixels)


def _pictures(build: Callable[[], nn.Module], pixels: int) -> Callable[[], Example]:
    def make() -> Example:
        torch.manual_seed(0)
        return Example(with_statistics(Named(build())), _image(pixels), _images(pixels))

    return make


def _short_efficientnet() -> nn.Module:
    """Three of the seven stages of EfficientNet-B0: depthwise-separable, 3x3 and 5x5 inverted residual blocks."""
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet

    blocks = decode_arch_def(
        [["ds_r1_k3_s1_e1_c16_se0.25"], ["ir_r1_k3_s2_e6_c24_se0.25"], ["ir_r2_k5_s2_e6_c40_se0.25"]]
    )
    return EfficientNet(blocks, num_classes=LABELS, num_features=64, act_layer=nn.SiLU)  # type: ignore[no-any-return]


def _short_mobilevit() -> nn.Module:
    """The first and the third stage of MobileViT-XXS, with one transformer layer."""
    from timm.models.byobnet import ByobNet
    from timm.models.mobilevit import model_cfgs

    cfg = model_cfgs["mobilevit_xxs"]
    residual, vit = cfg.blocks[2]
    vit = replace(vit, block_kwargs={**vit.block_kwargs, "transformer_depth": 1})
    return ByobNet(replace(cfg, blocks=(cfg.blocks[0], (residual, vit))), num_classes=LABELS)


def _transformers(kind: str, sizes: Mapping[str, Any]) -> nn.Module:
    """`kind` as in ViTForImageClassification; its configuration is ViTConfig."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind.partition('For')[0]}Config")(num_labels=LABELS, **sizes)
    return with_statistics(getattr(transformers, kind)(config))


def image(kind: str, pixels: int = 64, **sizes: Any) -> Callable[[], Example]:
    return lambda: Example(_transformers(kind, sizes), _image(pixels), _images(pixels))


def _padded(length: int, names: Sequence[str]) -> Batch:
    """Eight rows of token ids, the last ones padded by up to three."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(2, 100, (8, length), generator=generator)
    mask = (torch.arange(length)[None] < length - torch.arange(8)[:, None] % 4).long()
    tensors = {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    return {name: tensors[name] for name in names}


def text(kind: str, types: bool = False, **sizes: Any) -> Callable[[], Example]:
    """types   the model also takes token_type_ids"""
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    inputs = tuple(TensorSpec(name, "int64", ("batch", "sequence")) for name in names)
    batches = [_padded(length, names) for length in (8, 12, 16, 20)]
    return lambda: Example(_transformers(kind, {"vocab_size": 100, **sizes}), inputs, batches)


def audio(
    kind: str, name: str, shape: tuple[int | str, ...], lengths: Sequence[int], **sizes: Any
) -> Callable[[], Example]:
    """shape without the batch; a free dimension takes the values of `lengths`."""

    def make() -> Example:
        generator = torch.Generator().manual_seed(1)
        shapes = [[length if isinstance(size, str) else size for size in shape] for length in lengths]
        batches = [{name: torch.randn(8, *fixed, generator=generator)} for fixed in shapes]
        return Example(_transformers(kind, sizes), (TensorSpec(name, "float32", ("batch", *shape)),), batches)

    return make


_WIDE = {"initializer_range": 0.08}
_ENCODER = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, **_WIDE}
_TEXT = {**_ENCODER, "max_position_embeddings": 64}
_VIT = {**_ENCODER, "image_size": 64, "patch_size": 16}
_SPEECH = {
    **_ENCODER, "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 32,
}  # fmt: skip
_SAMPLES = (4000, 6000, 8000, 5000)

MEMBERS: dict[str, Member] = {
    "resnet": Member("ResNet", "timm resnet18", timm("resnet18")),
    "resnet50": Member("ResNet", "timm resnet50", timm("resnet50")),
    "resnet-hf": Member(
        "ResNet", "ResNetForImageClassification",
        image("ResNetForImageClassification", embedding_size=16, hidden_sizes=[16, 32], depths=[1, 2]),
    ),
    "mobilenetv2": Member("MobileNetV2", "timm mobilenetv2_035", timm("mobilenetv2_035")),
    "mobilenetv2-hf": Member(
        "MobileNetV2", "MobileNetV2ForImageClassification",
        image("MobileNetV2ForImageClassification", depth_multiplier=0.35, image_size=64),
    ),
    "mobilenetv3": Member("MobileNetV3", "timm mobilenetv3_small_050", timm("mobilenetv3_small_050")),
    "efficientnet": Member("EfficientNet", "timm EfficientNet, 3 stages of B0", _pictures(_short_efficientnet, 64)),
    "efficientnet-b0": Member("EfficientNet", "timm efficientnet_b0", timm("efficientnet_b0")),
    "efficientnet-tf": Member("EfficientNet", "timm tf_efficientnet_b0", timm("tf_efficientnet_b0")),
    "efficientnet-hf": Member(
        "EfficientNet", "EfficientNetForImageClassification",
        image("EfficientNetForImageClassification", width_coefficient=0.25, depth_coefficient=0.3, image_size=64,
              hidden_dim=320),
    ),
    "efficientnet-lite": Member("EfficientNet-Lite", "timm tf_efficientnet_lite0", timm("tf_efficientnet_lite0")),
    "convnext": Member(
        "ConvNeXt", "timm convnext_atto", timm("convnext_atto", depths=(1, 1, 1, 1), dims=(16, 32, 48, 64)),
    ),
    "convnextv2": Member(
        "ConvNeXt", "timm convnextv2_atto", timm("convnextv2_atto", depths=(1, 1, 1, 1), dims=(16, 32, 48, 64)),
    ),
    "convnext-hf": Member(
        "ConvNeXt", "ConvNextForImageClassification",
        image("ConvNextForImageClassification", depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64],
              layer_scale_init_value=0.5, **_WIDE),
    ),
    "vit": Member("ViT", "timm vit_tiny_patch16_224", timm("vit_tiny_patch16_224", img_size=64, depth=2)),
    "vit-hf": Member("ViT", "ViTForImageClassification", image("ViTForImageClassification", **_VIT)),
    "deit": Member(
        "DeiT", "timm deit_tiny_distilled_patch16_224",
        timm("deit_tiny_distilled_patch16_224", img_size=64, depth=2),
    ),
    "deit-hf": Member("DeiT", "DeiTForImageClassification", image("DeiTForImageClassification", **_VIT)),
    "swin": Member(
        "Swin", "timm swin_tiny_patch4_window7_224",
        timm("swin_tiny_patch4_window7_224", 32, img_size=32, window_size=4, embed_dim=16, depths=(2, 1),
             num_heads=(2, 4)),
    ),
    "swin-hf": Member(
        "Swin", "SwinForImageClassification",
        image("SwinForImageClassification", 32, image_size=32, window_size=4, embed_dim=16, depths=[2, 1],
              num_heads=[2, 4], **_WIDE),
    ),
    "mobilevit": Member("MobileViT", "timm ByobNet, 2 stages of mobilevit_xxs", _pictures(_short_mobilevit, 64)),
    "mobilevit-xxs": Member("MobileViT", "timm mobilevit_xxs", timm("mobilevit_xxs")),
    "mobilevit-hf": Member(
        "MobileViT", "MobileViTForImageClassification",
        image("MobileViTForImageClassification", image_size=64, hidden_sizes=[32, 48, 64],
              neck_hidden_sizes=[8, 16, 24, 32, 48, 64, 96], expand_ratio=2.0),
    ),
    "bert": Member("BERT", "BertForSequenceClassification", text("BertForSequenceClassification", True, **_TEXT)),
    "distilbert": Member(
        "DistilBERT", "DistilBertForSequenceClassification",
        text("DistilBertForSequenceClassification", dim=64, n_layers=2, n_heads=2, hidden_dim=128,
             max_position_embeddings=64, **_WIDE),
    ),
    "mobilebert": Member(
        "MobileBERT", "MobileBertForSequenceClassification",
        text("MobileBertForSequenceClassification", True,
             **{**_TEXT, "embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 2}),
    ),
    "roberta": Member(
        "RoBERTa", "RobertaForSequenceClassification", text("RobertaForSequenceClassification", **_TEXT),
    ),
    "deberta": Member(
        "DeBERTa-v2", "DebertaV2ForSequenceClassification",
        text("DebertaV2ForSequenceClassification", relative_attention=True, pos_att_type=["p2c", "c2p"],
             position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False,
             pooler_hidden_size=64, **_TEXT),
    ),
    "electra": Member(
        "ELECTRA", "ElectraForSequenceClassification",
        text("ElectraForSequenceClassification", True, embedding_size=32, **_TEXT),
    ),
    "mpnet": Member("MPNet", "MPNetForSequenceClassification", text("MPNetForSequenceClassification", **_TEXT)),
    "wav2vec2": Member(
        "wav2vec2", "Wav2Vec2ForSequenceClassification",
        audio("Wav2Vec2ForSequenceClassification", "input_values", ("time",), _SAMPLES, **_SPEECH),
    ),
    "wav2vec2-layer": Member(
        "wav2vec2", "Wav2Vec2ForSequenceClassification, layer norm",
        audio("Wav2Vec2ForSequenceClassification", "input_values", ("time",), _SAMPLES, feat_extract_norm="layer",
              do_stable_layer_norm=True, conv_bias=True, **_SPEECH),
    ),
    "hubert": Member(
        "HuBERT", "HubertForSequenceClassification",
        audio("HubertForSequenceClassification", "input_values", ("time",), _SAMPLES, **_SPEECH),
    ),
    "ast": Member(
        "AST", "ASTForAudioClassification",
        audio("ASTForAudioClassification", "input_values", (64, 32), (0,) * 4, max_length=64, num_mel_bins=32,
              **_ENCODER),
    ),
    "whisper": Member(
        "Whisper encoder", "WhisperForAudioClassification",
        audio("WhisperForAudioClassification", "input_features", (16, 64), (0,) * 4, num_mel_bins=16, encoder_layers=2,
              encoder_attention_heads=2, encoder_ffn_dim=128, d_model=64, max_source_positions=32, decoder_layers=1,
              decoder_attention_heads=2, decoder_ffn_dim=64, vocab_size=100, pad_token_id=0, bos_token_id=1,
              eos_token_id=2, decoder_start_token_id=1, classifier_proj_size=32, init_std=0.08),
    ),
}  # fmt: skip
