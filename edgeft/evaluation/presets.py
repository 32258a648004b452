"""How long to measure. Sources of the numbers: MLPerf Mobile's quick and submission settings, pyperf, Green Metrics."""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Preset:
    """Durations in seconds; `min_queries`, `min_s` and `cap_s` hold for one variant over all its blocks.

    percentiles  shares printed when enough queries were made
    cooldown_s   longest wait for the start temperature before the first block
    cold_starts  fresh processes a variant is loaded in
    warm_cap_s   longest warm-up of one variant on a machine that does not settle
    aa_check     also measure the baseline against itself
    """

    name: str
    label: str
    blocks: int
    block_s: float
    min_s: float
    min_queries: int
    cap_s: float
    cooldown_s: float
    cold_starts: int
    percentiles: tuple[float, ...]
    warm_cap_s: float = 30.0
    aa_check: bool = False


PRESETS = {
    "quick": Preset("quick", "quick - not for publication", 5, 2.0, 10.0, 128, 60.0, 0.0, 1, (0.9,), warm_cap_s=5.0),
    "standard": Preset("standard", "standard", 10, 6.0, 60.0, 1024, 600.0, 300.0, 3, (0.9, 0.95, 0.99)),
    "full": Preset("full", "full", 20, 30.0, 600.0, 1024, 1800.0, 300.0, 5, (0.9, 0.95, 0.99), aa_check=True),
}


def preset(name: str) -> Preset:
    if name not in PRESETS:
        raise UsageError(f"no preset is called {name!r}", did_you_mean(name, PRESETS))
    return PRESETS[name]
