"""LoRA (Hu et al., arXiv 2106.09685), through peft: small matrices learn beside frozen layers and are merged into them.

What the float phase hands on is a plain model again: quantization and export see weights, and nothing of the adapters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from edgeft.tuning.architecture import before_blocks, head_names, under

# Update of rank R, scaled by ALPHA / R. Adapters beside every layer matter more than their rank (arXiv 2305.14314,
# section 4): 16 is in the middle of what is usual, and ALPHA = 2 R as there is common practice.
RANK, ALPHA = 16, 32
_BASE = ".base_layer"


def layers(model: nn.Module, fresh: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of the layers that get adapters: in the body, every linear one and every convolution that is not grouped.

    fresh   modules with new weights, which learn themselves
    """
    outside = (*head_names(model), *fresh)
    first = before_blocks(model)
    return tuple(
        name for name, module in model.named_modules()
        if _bears_one(module) and not under(name, outside) and f"{name}.weight" not in first
    )  # fmt: skip


def _bears_one(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


@contextmanager
def adapters_in(model: nn.Module, seed: int, fresh: tuple[str, ...] = ()) -> Iterator[None]:
    """While inside, `model` has adapters that learn in place of the layers they stand beside; after it they are merged.

    Parameters outside those layers that learned before learn on. The first values of the adapters follow from `seed`;
    they begin as no change at all.
    """
    import peft

    names = layers(model, fresh)
    beside = {f"{name}.{own}" for name in names for own in ("weight", "bias")}
    learning = [p for name, p in model.named_parameters() if p.requires_grad and name not in beside]
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=_exactly(names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tuner = peft.LoraModel(model, config, "default")
    for parameter in learning:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        tuner.merge_and_unload()


def _exactly(names: tuple[str, ...]) -> str:
    """A pattern for peft, which would take a list of names for endings of names."""
    return "|".join(re.escape(name) for name in names)


def is_adapter(name: str) -> bool:
    """Is the parameter of this name part of an adapter?"""
    return ".lora_" in name


def plain_name(name: str) -> str:
    """The name a parameter has in the model without adapters."""
    return name.replace(_BASE, "")


def is_merged_into(name: str) -> bool:
    """Is this the weight, frozen in training, of a layer that an adapter is going to be merged into?"""
    return name.endswith(f"{_BASE}.weight")
