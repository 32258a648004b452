"""Which weights keep still: chosen by name, held in eval mode while the rest learns, and proved by hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgeft import console
from edgeft.errors import ModelError, UsageError, did_you_mean
from edgeft.tuning.architecture import after_block, before_blocks, block_names, head_names, under

KINDS = ("backbone", "none", "last:N", "embeddings", "regex:PATTERN")
# Named in the contract, and not built yet.
_LATER = ("lora",)


def freeze(model: nn.Module, kind: str, fresh: tuple[str, ...] = ()) -> None:
    """Set requires_grad of every parameter by `kind`; what is in `fresh` (new weights) always learns.

    backbone     everything but the classification head
    last:N       everything before the last N blocks
    embeddings   everything before the first block (token and position tables, patch projection, stem)
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
    names = {name for name, _ in model.named_parameters()}
    word, _, rest = kind.partition(":")
    if kind == "none":
        return set()
    if kind == "backbone":
        heads = head_names(model)
        return {name for name in names if not under(name, heads)}
    if kind == "embeddings":
        return before_blocks(model)
    if word == "last" and rest.isdigit():
        return names - _last(model, int(rest))
    if word == "regex":
        return _matching(names, rest)
    if word in _LATER or "," in kind:
        raise UsageError(f"--freeze {kind} is not built yet", f"choose from {', '.join(KINDS)}")
    raise UsageError(f"--freeze {kind!r} is unknown", did_you_mean(kind, KINDS))


def _last(model: nn.Module, n: int) -> set[str]:
    blocks = block_names(model)
    if n > len(blocks):
        raise UsageError(f"--freeze last:{n} asks for more than the model's {len(blocks)} blocks", "give a smaller N")
    heads = head_names(model)
    learning = {name for name, _ in model.named_parameters() if under(name, heads)}
    return learning | (after_block(model, blocks[-n]) if n else set())


def _matching(names: set[str], pattern: str) -> set[str]:
    try:
        found = {name for name in names if re.search(pattern, name)}
    except re.error as error:
        raise UsageError(f"--freeze regex:{pattern} is no regular expression: {error}") from error
    if not found:
        raise UsageError(f"--freeze regex:{pattern} matches no parameter", f"names look like {sorted(names)[0]}")
    return found


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


def table(model: nn.Module) -> list[str]:
    """Lines "part  parameters  frozen | learning | partly", neighbours of one kind and state drawn together."""
    rows = _merged(_rows(model))
    width = max(len(row[0]) for row in rows)
    lines = [f"{'part':<{width}}  {'parameters':>12}  state"]
    lines += [f"{name:<{width}}  {size:>12,}  {state}" for name, size, state in rows]
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    return [*lines, f"{learning:,} of {whole:,} parameters learn"]


def _rows(model: nn.Module) -> list[tuple[str, str, int, str]]:
    """(first part, last part, parameters, state) for every block and for what lies between, in order."""
    blocks = block_names(model)
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        block = next((block for block in blocks if name.startswith(f"{block}.")), None)
        parts.setdefault(block or ".".join(name.split(".")[:2]), []).append(parameter)
    return [(part, part, sum(p.numel() for p in group), _state(group)) for part, group in parts.items()]


def _state(group: list[nn.Parameter]) -> str:
    learning = {parameter.requires_grad for parameter in group}
    return "partly" if len(learning) > 1 else "learning" if learning == {True} else "frozen"


def _merged(rows: list[tuple[str, str, int, str]]) -> list[tuple[str, int, str]]:
    merged: list[tuple[str, str, int, str]] = []
    for first, last, size, state in rows:
        numbered = bool(re.search(r"\.\d+$", first))
        if merged and numbered and merged[-1][3] == state and re.search(r"\.\d+$", merged[-1][1]):
            begin, _, before, _ = merged.pop()
            merged.append((begin, last, before + size, state))
        else:
            merged.append((first, last, size, state))
    return [(first if first == last else f"{first} .. {last}", size, state) for first, last, size, state in merged]


def say_table(model: nn.Module) -> None:
    for line in table(model):
        console.say(line)
