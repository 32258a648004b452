"""Small random models of the families the engine must take, with the inputs a device would feed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeft.tasks.task import TensorSpec

IMAGE = (TensorSpec("pixel_values", "float32", ("batch", 3, 64, 64)),)
TIMM = [
    "resnet18",
    "mobilenetv2_035",
    "tf_efficientnet_lite0",
    "mobilenetv3_small_050",
    "vit_tiny_patch16_224",
]
TEXT = ["bert", "distilbert"]


class Timm(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values)
        return logits


def timm_model(name: str) -> nn.Module:
    import timm

    size = {"img_size": 64, "depth": 2} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=10, **size)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    return Timm(model).eval()


def text_model(name: str) -> tuple[nn.Module, tuple[TensorSpec, ...]]:
    import transformers as t

    if name == "bert":
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
        model = t.BertForSequenceClassification(t.BertConfig(vocab_size=100, num_labels=5, **sizes))
        names = ["input_ids", "attention_mask", "token_type_ids"]
    else:
        config = t.DistilBertConfig(vocab_size=100, dim=64, n_layers=2, n_heads=2, hidden_dim=128, num_labels=5)
        model = t.DistilBertForSequenceClassification(config)
        names = ["input_ids", "attention_mask"]
    # Random heads give logits near zero; make differences visible.
    nn.init.normal_(model.classifier.weight, std=0.5)
    return model.eval(), tuple(TensorSpec(n, "int64", ("batch", "sequence")) for n in names)


def text_batch(names: list[str], batch: int = 4, length: int = 16) -> dict[str, Tensor]:
    mask = torch.ones(batch, length, dtype=torch.long)
    for row in range(1, batch):
        mask[row, max(2, length - 3 * row) :] = 0
    everything = {
        "input_ids": torch.randint(0, 100, (batch, length)) * mask,
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(mask),
    }
    return {name: everything[name] for name in names}


def model_and_batch(name: str) -> tuple[nn.Module, tuple[TensorSpec, ...], dict[str, Tensor]]:
    if name in TEXT:
        model, inputs = text_model(name)
        return model, inputs, text_batch([spec.name for spec in inputs])
    return timm_model(name), IMAGE, {"pixel_values": torch.randn(4, 3, 64, 64)}
