"""Gates: the file computes what was trained, and onnxruntime's optimizer does not change the answers.

Never one absolute tolerance: logits near 30 differ harmlessly by more than logits near 0.3. The direction of all
logits (cosine) and the answers on held-out samples decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeft.exporting import graph
from edgeft.exporting.gates.artifact import Artifact
from edgeft.exporting.gates.gate import Outcome

Logits = NDArray[np.float32]


def cosine(one: Logits, other: Logits) -> float:
    """Cosine between all logits of two models, each taken as one long vector; 1.0 when both are zero."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0 else float(np.array_equal(a, b))


def same_answer(one: Logits, other: Logits) -> NDArray[np.bool_]:
    """[n] bool: is the label with the highest logit the same?"""
    agreement: NDArray[np.bool_] = one.argmax(-1) == other.argmax(-1)
    return agreement


def _finite(*logits: Logits) -> bool:
    return all(bool(np.isfinite(each).all()) for each in logits)


def enough(same: NDArray[np.bool_], least: float) -> bool:
    """Is the share of samples with the same answer at least `least`, or is there but one that has another?

    One of fewer samples than 1 / (1 - least) is a larger share than allowed and no evidence: where the true share is
    the allowed one, half of all such trials have one.
    """
    others = int((~same).sum())
    return others <= 1 or others <= (1 - least) * len(same)


def _figures(one: Logits, other: Logits) -> tuple[float, NDArray[np.bool_], str]:
    same = same_answer(one, other)
    angle = cosine(one, other)
    largest = float(np.abs(one.astype(np.float64) - other).max())
    text = f"same answer on {int(same.sum())} of {len(same)}, cosine {angle:.6f}, largest difference {largest:.4g}"
    return angle, same, text


# Two correct computations may differ this many times as much as the model differs from itself with reordered sums:
# the geometric middle between two correct ones (EfficientNet-Lite0 on digits 2.2, whose depthwise sums are not
# reordered; MiniLM 1.0) and the smallest fault (about 10).
_TIMES_ITSELF = 4.0


@dataclass(frozen=True)
class AgainstTorch:
    """The torch model (fake-quantized with integer biases, or float) against the file run as written.

    least_cosine  1 - 1e-4. A quantized model in which rounding ties spread may be further away, but only where the
                  torch model is as far from itself once its sums are added in another order (see reordered.py): not
                  more than four times as far. Leaving out the rounding of biases, the smallest fault there is, was ten
                  times as far on MiniLM.
    least_same    share of held-out samples with the same answer; one may always have another. Where the
                  torch model's two best logits lie so close that reordered sums may swap them (four times the root mean
                  square of what they change), both answers are its own.
    """

    least_cosine: float = 0.9999
    least_same: float = 0.995
    name: str = "torch against file"

    def run(self, artifact: Artifact) -> Outcome:
        return _near_torch(artifact, artifact.written, artifact.plain, self.least_cosine, self.least_same)


@dataclass(frozen=True)
class FusedAgainstTorch:
    """The torch model against onnxruntime's fused kernels, where these round more than the file says: data of weights
    in blocks. Both figures as in AgainstTorch."""

    least_cosine: float = 0.9999
    least_same: float = 0.995
    name: str = "torch against fused kernels"

    def run(self, artifact: Artifact) -> Outcome:
        return _near_torch(artifact, artifact.expected, artifact.optimized, self.least_cosine, self.least_same)


def _near_torch(artifact: Artifact, torch: Logits, file: Logits, least_cosine: float, least_same: float) -> Outcome:
    if not _finite(torch, file):
        return Outcome(False, "an output is not finite")
    angle, same, text = _figures(torch, file)
    near = angle > least_cosine
    if artifact.reordered is not None:
        itself = cosine(artifact.expected, artifact.reordered)
        text += f"; torch against itself with reordered sums {itself:.6f}"
        near = near or 1 - angle <= _TIMES_ITSELF * (1 - itself)
        ties = ~same & tied(torch, file, _TIMES_ITSELF * spread(artifact.expected, artifact.reordered))
        if ties.any():
            text += f"; {int(ties.sum())} of the other answers are ties in torch"
            same = same | ties
    return Outcome(near and enough(same, least_same), text, _named(artifact, ~same))


def _named(artifact: Artifact, rows: NDArray[np.bool_]) -> tuple[str, ...]:
    """The samples whose answers `rows` marks, each once."""
    return tuple(dict.fromkeys(np.array(artifact.ids)[rows].tolist()))


def spread(one: Logits, other: Logits) -> float:
    """Root of the mean squared difference of two computations of the same logits."""
    return float(np.sqrt(np.square(one.astype(np.float64) - other).mean()))


def tied(torch: Logits, file: Logits, margin: float) -> NDArray[np.bool_]:
    """[n] bool: does the label the file answers have, in torch, a logit at most `margin` below the highest?"""
    rows = np.arange(len(torch))
    close: NDArray[np.bool_] = torch.max(-1) - torch[rows, file.argmax(-1)] <= margin
    return close


@dataclass(frozen=True)
class OffAgainstOn:
    """onnxruntime's optimizer off against on: fused integer kernels may differ by one step on ties, no more."""

    least_cosine: float = 0.99
    least_same: float = 0.99
    name: str = "optimizer off against on"

    def run(self, artifact: Artifact) -> Outcome:
        if not _finite(artifact.plain, artifact.optimized):
            return Outcome(False, "an output is not finite")
        angle, same, text = _figures(artifact.plain, artifact.optimized)
        steps = histogram(artifact.plain, artifact.optimized, output_step(artifact))
        text = f"{text}; steps of the output grid: {', '.join(f'{name} {part:.2%}' for name, part in steps.items())}"
        places = _named(artifact, ~same)
        return Outcome(angle > self.least_cosine and enough(same, self.least_same), text, places)


def output_step(artifact: Artifact) -> float:
    """Scale of the grid the logits lie on; without one, a 255th of their range."""
    source = graph.producer_of(artifact.model.graph.outputs[0], "DequantizeLinear")
    grid = graph.grid(source) if source is not None else None
    if grid is not None and grid.scale.size == 1:
        return float(grid.scale.reshape(()))
    return max(float(np.ptp(artifact.plain)) / 255, 1e-12)


def histogram(one: Logits, other: Logits, step: float) -> dict[str, float]:
    """Share of all logits that differ by 0, 1, 2 and more steps."""
    steps = np.rint(np.abs(one.astype(np.float64) - other) / step)
    shares = {str(count): float((steps == count).mean()) for count in range(3)}
    return {**shares, "more": float((steps > 2).mean())}
