"""The table of a model's parts: how large each is, whether it learns, and how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from edgeft.tuning.architecture import block_names, under


@dataclass(frozen=True)
class _Part:
    """Neighbouring parts of one kind and state; `rates` are the peak learning rates found in them."""

    first: str
    last: str
    size: int
    state: str
    rates: tuple[float, ...]

    @property
    def name(self) -> str:
        return self.first if self.first == self.last else f"{self.first} .. {self.last}"

    @property
    def rate(self) -> str:
        ends = dict.fromkeys((*self.rates[:1], *self.rates[-1:]))
        return " .. ".join(f"{rate:.2g}" for rate in ends)


def table(model: nn.Module, rates: Mapping[str, float]) -> list[str]:
    """Lines "part  parameters  frozen | learning | partly  learning rate", like neighbours drawn together.

    rates   peak learning rate of every parameter that learns, by name
    """
    parts = _merged(_parts(model, rates))
    width = max(len(part.name) for part in parts)
    lines = [f"{'part':<{width}}  {'parameters':>12}  {'state':<8}  learning rate"]
    lines += [f"{part.name:<{width}}  {part.size:>12,}  {part.state:<8}  {part.rate}".rstrip() for part in parts]
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    return [*lines, f"{learning:,} of {whole:,} parameters learn"]


def _parts(model: nn.Module, rates: Mapping[str, float]) -> list[_Part]:
    """Every block, and what lies between, in order."""
    blocks = block_names(model)
    names: dict[str, list[str]] = {}
    parameters = dict(model.named_parameters())
    for name in parameters:
        block = next((block for block in blocks if under(name, (block,))), None)
        names.setdefault(block or ".".join(name.split(".")[:2]), []).append(name)
    return [_part(part, {name: parameters[name] for name in group}, rates) for part, group in names.items()]


def _part(name: str, parameters: Mapping[str, nn.Parameter], rates: Mapping[str, float]) -> _Part:
    learning = {parameter.requires_grad for parameter in parameters.values()}
    state = "partly" if len(learning) > 1 else "learning" if learning == {True} else "frozen"
    found = tuple(sorted({rates[each] for each in parameters if each in rates}))
    return _Part(name, name, sum(p.numel() for p in parameters.values()), state, found)


def _merged(parts: list[_Part]) -> list[_Part]:
    merged: list[_Part] = []
    for part in parts:
        before = merged[-1] if merged else None
        if before and _numbered(part) and _numbered(before) and _alike(before, part):
            merged[-1] = replace(before, last=part.last, size=before.size + part.size)
        else:
            merged.append(part)
    return merged


def _numbered(part: _Part) -> bool:
    return bool(re.search(r"\.\d+$", part.last))


def _alike(one: _Part, other: _Part) -> bool:
    return (one.state, one.rates) == (other.state, other.rates)
