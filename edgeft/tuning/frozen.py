"""Training the head of a frozen backbone on what the backbone computes, which never changes: computed once.

An epoch over features costs a thousandth of one over images. Where training images are varied, each has a fixed number
of varied views; every epoch takes one of them at random. Dropout between the backbone and its head is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeft import __version__, console, ranks
from edgeft.data.content import digest
from edgeft.data.dataset import Example
from edgeft.quant.feed import batch_for, logits_of, text_lengths
from edgeft.tasks.task import TensorSpec
from edgeft.tuning import processes
from edgeft.tuning.architecture import head_names
from edgeft.tuning.batches import Collate, Key, Variation
from edgeft.tuning.freeze import digest_of, hash_tensors, learns_only
from edgeft.tuning.score import Judge
from edgeft.tuning.store import FeatureStore

_NAME = "features"
Rows = NDArray[np.float32]


def head_on_features(model: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """The head of `model` when it reads one tensor [n, features] and answers with the logits; else None.

    tensors   an encoded batch, to try it on
    """
    names = head_names(model)
    if len(names) != 1:
        return None
    head, seen = model.get_submodule(names[0]), []
    hook = head.register_forward_hook(lambda _, inputs, output: seen.append((inputs, output)))
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = logits_of(model(**tensors))
    finally:
        hook.remove()
        model.train(before)
    if len(seen) != 1 or len(seen[0][0]) != 1 or not isinstance(seen[0][1], Tensor):
        return None
    alone = seen[0][0][0].dim() == 2 and seen[0][1].shape == logits.shape and torch.equal(seen[0][1], logits)
    return head if alone else None


@dataclass(frozen=True)
class Backbone:
    """`model` up to its `head`, and where its features are kept.

    describe   what else decides the features of an example: the preprocessing and its files
    """

    model: nn.Module
    head: nn.Module
    describe: Mapping[str, Any]

    def features(
        self, examples: Sequence[Example], collate: Collate, views: int, bar: Callable[[int], None]
    ) -> NDArray[np.float32]:
        """[n, views, features] of `examples` in eval mode; `bar` is told of every view that is ready.

        Several processes share the work; the first one keeps the features.
        """
        store = FeatureStore(self._address(collate))
        kept = processes.once(store.read)
        contents = [digest(example.content) for example in examples]
        wanted = [(view, index) for view in range(views) for index in range(len(examples))]
        missing = [(view, index) for view, index in wanted if f"{contents[index]}-{view}" not in kept]
        bar(len(wanted) - len(missing))
        lengths = text_lengths(examples)
        if lengths is not None:
            missing.sort(key=lambda pair: lengths[pair[1]])
        wide = batch_for(collate.inputs, next(self.model.parameters()).device)
        try:
            for start in range(0, len(missing), wide * ranks.world()):
                shares = [missing[start + wide * n : start + wide * (n + 1)] for n in range(ranks.world())]
                # The variation of a view is drawn from the content, so that it is the same in every run of a seed.
                mine = [((v, int(contents[i][:12], 16)), examples[i]) for v, i in shares[ranks.number()]]
                found = processes.gathered(self._compute(collate, mine) if mine else ())
                for part, rows in zip(shares, found, strict=True):
                    kept.update({f"{contents[i]}-{v}": row for (v, i), row in zip(part, rows, strict=True)})
                    bar(len(part))
                if ranks.first():
                    store.write_when_due(kept)
        finally:  # after Ctrl-C too
            if missing and kept and ranks.first():
                store.write(kept)
        rows = np.stack([kept[f"{contents[index]}-{view}"] for view, index in wanted])
        return rows.reshape(views, len(examples), -1).swapaxes(0, 1)

    @torch.no_grad()
    def _compute(self, collate: Collate, part: Sequence[tuple[Key, Example]]) -> Rows:
        """What the head reads, [n, features]."""
        device = next(self.model.parameters()).device
        batch = collate(part)
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        before = self.model.training
        self.model.eval()
        try:
            self.model(**{name: t.to(device) for name, t in batch.items() if name != "labels"})
        finally:
            hook.remove()
            self.model.train(before)
        rows: Rows = seen[0].float().cpu().numpy()
        return rows

    def _address(self, collate: Collate) -> str:
        inside = {id(part) for part in self.head.parameters()} | {id(part) for part in self.head.buffers()}
        state = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        body = {name: tensor.data for name, tensor in state.items() if id(tensor) not in inside}
        kind = f"{type(self.model).__module__}.{type(self.model).__qualname__}"
        # Another release may encode or vary the same images otherwise.
        named = [__version__, kind, digest_of(hash_tensors(body)), collate.variation, dict(self.describe)]
        return json.dumps(named, sort_keys=True)


class HeadOnly(nn.Module):
    """The head, fed with features; it shares its parameters with the model it is the head of."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


class Given:
    """An encoder of examples whose contents are their features."""

    def __init__(self, shape: tuple[int | str, ...]) -> None:
        self.inputs: tuple[TensorSpec, ...] = (TensorSpec(_NAME, "float32", ("batch", *shape)),)

    def __call__(self, contents: Sequence[Any]) -> dict[str, NDArray[Any]]:
        return {_NAME: np.stack(contents)}


def one_view(views: Rows, rng: np.random.Generator) -> Rows:
    """One row of [views, features], at random."""
    chosen: Rows = views[rng.integers(len(views))]
    return chosen


@dataclass(frozen=True)
class Subject:
    """What one phase trains: a model, the examples it learns from, how they are batched, and who scores it."""

    model: nn.Module
    judge: Judge
    examples: Sequence[Example]
    collate: Collate


def on_features(
    subject: Subject, validation: Sequence[Example], views: int, seed: int, describe: Mapping[str, Any]
) -> Subject | None:
    """The head alone in place of the whole model, when it alone learns and reads nothing but features; else None.

    views   how many are kept of each training example, if examples are varied; each costs a pass over them
    """
    model, collate = subject.model, subject.collate
    if not learns_only(model, head_names(model)):
        return None
    if collate.mixes:
        console.say("images are mixed anew in every step: the frozen backbone runs in all epochs, and nothing is kept")
        return None
    device = next(model.parameters()).device
    plain = Collate(subject.judge.encoder, seed)
    trial = plain([((0, 0), example) for example in subject.examples[:2]])
    head = head_on_features(model, {name: t.to(device) for name, t in trial.items() if name != "labels"})
    if head is None:
        console.say(
            "the backbone is frozen and runs in every epoch all the same: its head does not read one vector an example"
        )
        return None
    views = views if collate.varies else 1
    backbone = Backbone(model, head, describe)
    total = len(subject.examples) * views + len(validation)
    with console.bar("reading features", total, "samples") as bar:
        rows = backbone.features(subject.examples, collate, views, bar.advance)
        held = backbone.features(validation, plain, 1, bar.advance)[:, 0]
    many = f"{views} varied view{'s' * (views > 1)}" if collate.varies else "one view"
    console.say(f"the backbone is frozen: what it computes ({many} of each example) is kept, and the head learns on it")
    encoder = Given(rows.shape[2:])
    examples = [_with(example, row) for example, row in zip(subject.examples, rows, strict=True)]
    judge = subject.judge.on(encoder, {"validation": [_with(e, row) for e, row in zip(validation, held, strict=True)]})
    return Subject(HeadOnly(head), judge, examples, Collate(encoder, seed, Variation(one_view)))


def _with(example: Example, features: Rows) -> Example:
    return replace(example, content=features)  # type: ignore[arg-type]
