"""Which parts a classifier has: its head, its repeated blocks, and what comes before them. Any architecture."""

from __future__ import annotations

from collections import defaultdict

from torch import nn


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Qualified names of the modules that make up the classification head, in order.

    timm's `get_classifier` when the model has one; else every child beside transformers' base model that holds
    parameters; else the last linear layer.
    """
    base_name = getattr(model, "base_model_prefix", "")
    base = getattr(model, base_name, None) if base_name else None
    if isinstance(base, nn.Module):
        if hasattr(base, "get_classifier"):
            return _names_of(model, base.get_classifier())
        beside = tuple(name for name, child in model.named_children() if child is not base and _size(child))
        if beside:
            return beside
    if hasattr(model, "get_classifier"):
        return _names_of(model, model.get_classifier())
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return tuple(linear[-1:])


def output_layers(model: nn.Module, n_labels: int) -> list[nn.Module]:
    """The layers of the head whose rows are the labels (two in distilled models)."""
    head = [model.get_submodule(name) for name in head_names(model)]
    layers = [layer for part in head for layer in part.modules() if _rows(layer) == n_labels]
    return [layer for layer in layers if isinstance(layer, (nn.Linear, nn.Conv2d))][-2 if len(head) > 1 else -1 :]


def _rows(module: nn.Module) -> int | None:
    return getattr(module, "out_features", None) or getattr(module, "out_channels", None)


def block_names(model: nn.Module) -> tuple[str, ...]:
    """Qualified names of the repeated blocks (transformer layers, residual blocks), first to last.

    Blocks are the instances of that class which, as members of module lists, holds most parameters of the model;
    among equals the class with most instances (residual blocks rather than the stages that hold nothing else).
    """
    found: dict[type, list[str]] = defaultdict(list)
    parameters: dict[type, int] = defaultdict(int)
    for name, module in model.named_modules():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)):
            continue
        for child_name, child in module.named_children():
            if isinstance(child, (nn.ModuleList, nn.Sequential)) or not list(child.children()):
                continue
            found[type(child)].append(f"{name}.{child_name}" if name else child_name)
            parameters[type(child)] += _size(child)
    repeated = [kind for kind, names in found.items() if len(names) > 1] or list(found)
    if not repeated:
        return ()
    return tuple(found[max(repeated, key=lambda kind: (parameters[kind], len(found[kind])))])


def before_blocks(model: nn.Module) -> set[str]:
    """Names of the parameters registered before the first block: embeddings, stem, position tables."""
    blocks = block_names(model)
    names = [name for name, _ in model.named_parameters()]
    start = _first_index(names, blocks[0]) if blocks else 0
    return set(names[:start])


def after_block(model: nn.Module, block: str) -> set[str]:
    """Names of the parameters registered from `block` on. Registration follows the forward order."""
    names = [name for name, _ in model.named_parameters()]
    return set(names[_first_index(names, block) :])


def _first_index(names: list[str], block: str) -> int:
    return next(index for index, name in enumerate(names) if name.startswith(f"{block}."))


def under(name: str, modules: tuple[str, ...]) -> bool:
    """Is the parameter `name` inside one of `modules`?"""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _names_of(model: nn.Module, wanted: nn.Module | tuple[nn.Module, ...]) -> tuple[str, ...]:
    parts = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
    return tuple(name for name, module in model.named_modules() if any(module is part for part in parts))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
