"""What training makes small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeft.data.dataset import Example
from edgeft.quant.feed import logits_of
from edgeft.tasks.task import IGNORED, labels_of
from edgeft.tuning.features import Features
from edgeft.tuning.trainer import Loss

# Share of the labels' own loss beside the teacher's: labels are noisier than the float model's answers, and without
# them the student cannot get better than it.
LABEL_SHARE = 0.3


def cross_entropy(weights: Tensor | None = None, smoothing: float = 0.0, focal: float = 0.0) -> Loss:
    """Cross-entropy of logits [n, labels] with labels [n], or with shares of labels [n, labels] whose rows sum to 1, or
    of [n, positions, labels] with [n, positions] over the positions that are asked for; `weights` [labels]; smoothing
    as in arXiv 1512.00567.

    focal   gamma of arXiv 1708.02002: each example counts (1 - p)^gamma of its own, p being the share that its label
            gets; 0 is plain cross-entropy

    The loss of shares is the mean of those of the labels, by their shares, as arXiv 1710.09412 has it for mixup.
    """

    def loss(logits: Tensor, labels: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        logits, labels = asked(logits, labels)
        scaled = None if weights is None else weights.to(logits)
        if labels.dim() == 2:
            return _of_shares(logits, labels.to(logits), scaled, smoothing, focal)
        if not focal:
            return F.cross_entropy(logits, labels, weight=scaled, label_smoothing=smoothing)
        each = F.cross_entropy(logits, labels, weight=scaled, label_smoothing=smoothing, reduction="none")
        share = logits.softmax(dim=-1).gather(1, labels[:, None])[:, 0]
        whole = len(labels) if scaled is None else scaled[labels].sum()
        return ((1 - share) ** focal * each).sum() / whole

    return loss


def asked(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [answers, labels] and labels [answers]: padding, and positions whose output is no answer, left out.

    Shares of labels, which are no integers, belong to one answer each.
    """
    if labels.dim() == 1 or labels.is_floating_point():
        return logits, labels
    wanted = labels != IGNORED
    return logits[wanted], labels[wanted]


def _of_shares(logits: Tensor, shares: Tensor, weights: Tensor | None, smoothing: float, focal: float) -> Tensor:
    """What `loss` says for labels of one example each, for every label [n, labels], then the mean by `shares`."""
    scale = torch.ones(logits.shape[1]).to(logits) if weights is None else weights
    surprise = -scale * F.log_softmax(logits, dim=-1)
    each = (1 - smoothing) * surprise + smoothing * surprise.mean(dim=-1, keepdim=True)
    if focal:
        each = (1 - logits.softmax(dim=-1)) ** focal * each
    return (shares * each).sum() / (shares * scale).sum()


def distillation(teacher: nn.Module, weights: Tensor | None = None, features: Features | None = None) -> Loss:
    """KL(teacher || student) at temperature 1 (arXiv 1503.02531) plus LABEL_SHARE of the labels' cross-entropy, plus
    the distance of what the two heads read when `features` are given.

    The teacher runs in eval mode, without gradients, on the very tensors the student sees.
    """
    teacher.eval()
    of_labels = cross_entropy(weights)

    def loss(logits: Tensor, labels: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad():
            wanted = F.log_softmax(asked(logits_of(teacher(**inputs)).float(), labels)[0], dim=-1)
        logits, labels = asked(logits, labels)
        given = F.log_softmax(logits, dim=-1)
        divergence = F.kl_div(given, wanted, log_target=True, reduction="batchmean")
        found = divergence + LABEL_SHARE * of_labels(logits, labels, inputs)
        return found if features is None else found + features.share * features.distance()

    return loss


def class_weights(kind: str, examples: Sequence[Example], n_labels: int) -> Tensor | None:
    """--class-weights: "none", or "balanced": n / (labels * n_c), so that every class counts the same in sum.

    The formula is that of scikit-learn's class_weight="balanced".
    """
    if kind == "none":
        return None
    labels = labels_of(examples)
    counts = Counter(labels.tolist())
    # A tag that no word has (I- of a type of one-word names) has no loss either.
    return torch.tensor([len(labels) / (n_labels * max(counts[label], 1)) for label in range(n_labels)])
