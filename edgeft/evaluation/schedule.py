"""In which order blocks run, and when a block or a warm-up has run long enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from edgeft.evaluation.presets import Preset


def rounds(names: Sequence[str], blocks: int, seed: int) -> list[tuple[str, ...]]:
    """The variants of each round in running order; round k holds block k of every variant.

    Two variants: AB BA BA AB, repeated, so that a linear drift cancels. More: every second round runs backwards.
    The seed decides who is first.
    """
    order = list(names)
    Random(seed).shuffle(order)
    turned = (False, True, True, False) if len(order) == 2 else (False, True)
    return [tuple(reversed(order)) if turned[k % len(turned)] else tuple(order) for k in range(blocks)]


@dataclass(frozen=True)
class BlockRule:
    """A block goes on until `min_runs` and `min_s` are both reached, and never beyond `cap_s`."""

    min_runs: int
    min_s: float
    cap_s: float

    def done(self, runs: int, elapsed_s: float) -> bool:
        if elapsed_s >= self.cap_s:
            return True
        return runs >= self.min_runs and elapsed_s >= self.min_s


def block_rule(preset: Preset) -> BlockRule:
    """The floor and the cap of a variant, spread over its blocks."""
    return BlockRule(
        min_runs=-(-preset.min_queries // preset.blocks),
        min_s=max(preset.block_s, preset.min_s / preset.blocks),
        cap_s=preset.cap_s / preset.blocks,
    )


# Warm-up of a variant: at least this long, then until two successive medians of WARM_STEP_S agree, or the preset's cap.
WARM_RUNS, WARM_S, WARM_STEP_S, WARM_AGREE = 10, 2.0, 1.0, 0.02
# Discarded at the start of every block: caches, branch predictors and clocks settle.
SETTLE = BlockRule(min_runs=3, min_s=0.2, cap_s=30.0)
