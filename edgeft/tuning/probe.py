"""A new head starts where a linear classifier on the pretrained features ends, not at random numbers.

A random head sends the body gradients that mean nothing until it has learned itself (Kumar et al., arXiv 2202.10054,
show what that costs). The probe is multinomial logistic regression on features of the training examples, taken once
without augmentation; its weight decay is the one that does best on validation. Features keep their scale to each
other: standardised one by one, those that hardly vary get weights a thousand times the usual one, which a row of 8-bit
weights cannot hold (docs/decisions/008).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgeft import console
from edgeft.data.dataset import Example
from edgeft.tasks.task import Encoder
from edgeft.tuning import processes
from edgeft.tuning.batches import Collate
from edgeft.tuning.frozen import Backbone
from edgeft.tuning.trainer import Loss

# L2 penalties tried, in units of the mean cross-entropy over features of unit mean variance.
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
_ITERATIONS = 60
# Features of no variance at all are not divided by zero.
_LEAST_SPREAD = 1e-6


def start_head(
    backbone: Backbone, encoder: Encoder, train: Sequence[Example], validation: Sequence[Example], loss: Loss
) -> float | None:
    """Set the new head of a model from a linear probe; returns its accuracy on validation.

    loss   what training minimises too: a head fitted to another one would first be taken away from its optimum
    Nothing is done, and None returned, when the head is anything but one linear layer.
    """
    head = backbone.head
    if not isinstance(head, nn.Linear) or head.bias is None:
        return None
    with console.bar("reading features", len(train) + len(validation), "samples") as bar:
        (x, y), (held_x, held_y) = (_features(backbone, encoder, part, bar) for part in (train, validation))
    mean = x.mean(0)
    spread = x.var(0, correction=0).mean().sqrt().clamp(min=_LEAST_SPREAD)
    x, held_x = (x - mean) / spread, (held_x - mean) / spread
    found = [fit(x, y, head.out_features, penalty, loss) for penalty in _PENALTIES]
    accuracy = [float(((held_x @ w.T + b).argmax(1) == held_y).double().mean()) for w, b in found]
    best = max(range(len(found)), key=accuracy.__getitem__)
    weight, bias = found[best]
    with torch.no_grad():
        head.weight.copy_(weight / spread)
        head.bias.copy_(bias - weight @ mean / spread)
    processes.same_as_first(head)
    return accuracy[best]


def _features(
    backbone: Backbone, encoder: Encoder, examples: Sequence[Example], bar: console.Bar
) -> tuple[Tensor, Tensor]:
    """What the head reads, float64 [n, features], and labels [n]."""
    rows = backbone.features(examples, Collate(encoder, 0), 1, bar.advance)[:, 0]
    return torch.from_numpy(rows).double(), torch.tensor([example.label for example in examples])


def fit(x: Tensor, y: Tensor, n_labels: int, penalty: float, loss: Loss) -> tuple[Tensor, Tensor]:
    """Weight [labels, features] and bias [labels] that minimise loss + penalty / 2 * |weight|^2."""
    weight = torch.zeros(n_labels, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(n_labels, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x @ weight.T + bias, y, {}) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()
