"""Two image models with random weights, for jobs where no pretrained ones can be had (`--model file.py:factory`).

    edgeft tune --model benchmarks/small_nets.py:mobilenet_v3_small --freeze none …
"""

from __future__ import annotations

from typing import Any

_SEED = 0


def _timm(architecture: str, **options: Any) -> Any:
    """timm's `architecture` as transformers' image classifier, with weights as timm draws them."""
    import torch
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    torch.manual_seed(_SEED)
    config = TimmWrapperConfig(architecture=architecture, num_labels=10, model_args=options)
    model = TimmWrapperForImageClassification(config)
    config.pretrained_cfg = model.timm_model.pretrained_cfg
    return model


def mobilenet_v3_small() -> Any:
    return _timm("mobilenetv3_small_100")


def vit() -> Any:
    """A ViT of 6 layers, 192 wide, patches of 16 pixels; images of 128 pixels are 65 tokens. 2.8 M parameters."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(_SEED)
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=768, image_size=128,
            patch_size=16, num_labels=10,
        )
    )  # fmt: skip
