"""Which weights keep still: chosen by name, held in eval mode while the rest learns, and proved by hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from edgeft.errors import MachineError, ModelError, UsageError, did_you_mean
from edgeft.packages import how_to_install, is_installed
from edgeft.tuning.adapters import adapters_in, layers
from edgeft.tuning.architecture import after_block, before_blocks, block_names, head_names, under


def freeze(model: nn.Module, kind: str, fresh: tuple[str, ...] = ()) -> None:
    """Set requires_grad of every parameter by `kind`; what is in `fresh` (new weights) always learns.

    backbone     everything but the classification head
    last:N       everything before the last N blocks
    embeddings   everything before the first block (token and position tables, patch projection, stem)
    lora         everything but the head and the layers that adapters are merged into (edgeft.tuning.adapters)
    none         nothing
    regex:P      parameters whose name P finds a match in
    Raises UsageError for another kind, a pattern that matches nothing, or more blocks than there are.
    """
    still = _frozen_names(model, kind)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in still or under(name, fresh))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(f"--freeze {kind} leaves nothing to train", "freeze less")


def _frozen_names(model: nn.Module, kind: str) -> set[str]:
    word, _, rest = kind.partition(":")
    chosen = _CHOOSE.get(word)
    if chosen is None or bool(rest) != (word in _WITH_MORE):
        raise UsageError(f"--freeze {kind!r} is unknown", did_you_mean(kind, KINDS))
    return chosen(model, rest)


def _names(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters()}


def _body(model: nn.Module, _: str) -> set[str]:
    heads = head_names(model)
    return {name for name in _names(model) if not under(name, heads)}


def _adapted(model: nn.Module, _: str) -> set[str]:
    merged = {f"{layer}.weight" for layer in layers(model)}
    if not merged:
        raise UsageError("--freeze lora finds no linear layer or convolution in the body", "choose another --freeze")
    return _body(model, "") - merged


def _first_part(model: nn.Module, _: str) -> set[str]:
    return before_blocks(model)


def _nothing(model: nn.Module, _: str) -> set[str]:
    return set()


def _all_but_last(model: nn.Module, count: str) -> set[str]:
    blocks = block_names(model)
    if not count.isdigit() or int(count) > len(blocks):
        asked = f"--freeze last:{count} asks for more than the model's {len(blocks)} blocks"
        raise UsageError(asked, "give a smaller N")
    n = int(count)
    return _body(model, "") - (after_block(model, blocks[-n]) if n else set())


def _matching(model: nn.Module, pattern: str) -> set[str]:
    try:
        found = {name for name in _names(model) if re.search(pattern, name)}
    except re.error as error:
        raise UsageError(f"--freeze regex:{pattern} is no regular expression: {error}") from error
    if not found:
        raise UsageError(f"--freeze regex:{pattern} matches no parameter", f"names look like {min(_names(model))}")
    return found


# Kind -> (model, what stands behind the colon) -> names of the parameters that keep still.
_CHOOSE: Mapping[str, Callable[[nn.Module, str], set[str]]] = {
    "backbone": _body, "none": _nothing, "last": _all_but_last, "embeddings": _first_part, "lora": _adapted,
    "regex": _matching,
}  # fmt: skip
_WITH_MORE = {"last": "N", "regex": "PATTERN"}
KINDS = tuple(f"{word}:{_WITH_MORE[word]}" if word in _WITH_MORE else word for word in _CHOOSE)


@contextmanager
def learning(model: nn.Module, kind: str, fresh: tuple[str, ...], seed: int) -> Iterator[None]:
    """While inside, that learns which `kind` says; adapters, where it means them, are merged when it ends."""
    freeze(model, kind, fresh)
    with _BESIDE.get(kind, _alone)(model, seed, fresh):
        yield
    freeze(model, kind, fresh)


def _alone(model: nn.Module, seed: int, fresh: tuple[str, ...]) -> AbstractContextManager[None]:
    return nullcontext()


# What a kind puts beside the model's own layers while it learns, and the package that does.
_BESIDE = {"lora": adapters_in}
_NEEDS = {"lora": "peft"}


def refuse_missing(kinds: Iterable[str]) -> None:
    """Raises MachineError when a kind needs a package that is not here."""
    for kind in kinds:
        package = _NEEDS.get(kind)
        if package and not is_installed(package):
            raise MachineError(f"--freeze {kind} needs the package {package}", how_to_install(package))


def frozen_modules(model: nn.Module) -> list[nn.Module]:
    """The largest modules that have parameters, all of them frozen."""
    if _all_frozen(model):
        return [model]
    return [found for child in model.children() for found in frozen_modules(child)]


def learns_only(model: nn.Module, names: tuple[str, ...]) -> bool:
    """Is everything that learns in the modules of these names?"""
    return all(under(name, names) for name, parameter in model.named_parameters() if parameter.requires_grad)


def _all_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def brings_statistics(module: nn.Module) -> bool:
    """Is this a BatchNorm that saw data before (a pretrained one, not one as it is born)?

    Training on the statistics of small batches and answering with running ones are two different models. Kept still,
    it is the one that will be folded into the convolution. EfficientNet-Lite0 on 3,068 photographs, see
    docs/decisions/004.
    """
    if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
        return False
    return bool(module.running_mean.any())


@contextmanager
def held_still(model: nn.Module) -> Iterator[None]:
    """While inside, frozen modules run in eval mode whatever train() says: BatchNorm keeps its statistics and
    dropout lets everything through. A learning BatchNorm that brings statistics keeps them too."""
    still = [*frozen_modules(model), *(module for module in model.modules() if brings_statistics(module))]

    def to_eval(module: nn.Module, _: Any) -> None:
        for part in still:
            if part.training:
                part.eval()

    hook = model.register_forward_pre_hook(to_eval)
    try:
        yield
    finally:
        hook.remove()


def frozen_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every frozen parameter, and every buffer (BatchNorm statistics) of a frozen module, by name."""
    tensors = {name: p.data for name, p in model.named_parameters() if not p.requires_grad}
    still = {id(part) for module in frozen_modules(model) for part in module.modules()}
    for module_name, module in model.named_modules():
        if id(module) in still:
            prefix = f"{module_name}." if module_name else ""
            tensors.update({f"{prefix}{name}": b for name, b in module.named_buffers(recurse=False)})
    return tensors


def hash_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> SHA-256 over dtype, shape and bytes."""
    return {name: _hash(tensor) for name, tensor in tensors.items()}


def _hash(tensor: Tensor) -> str:
    whole = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{whole.dtype} {list(whole.shape)} ".encode())
    digest.update(whole.reshape(-1).view(torch.uint8).numpy().tobytes() if whole.numel() else b"")
    return digest.hexdigest()


def digest_of(hashes: Mapping[str, str]) -> str:
    """One SHA-256 over names and hashes, whatever their order."""
    lines = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()


def prove_unchanged(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """The record for tuned.json. Raises ModelError that names what changed although it was frozen."""
    changed = [name for name in before if before[name] != after.get(name)]
    if changed:
        raise ModelError(
            f"{len(changed)} frozen tensors changed in training, the first is {changed[0]}",
            "this is a fault of edgeft: please report it with the command and the model",
        )
    return [{"name": name, "sha256_before": before[name], "sha256_after": after[name]} for name in before]
