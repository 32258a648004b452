"""How long the energy pass idles and loads, by preset."""

from __future__ import annotations

from dataclasses import dataclass

from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_model import Model
from edgeft.evaluation.forecast import words
from edgeft.evaluation.meters.kinds import Meter
from edgeft.evaluation.presets import Preset


@dataclass(frozen=True)
class EnergyPlan:
    """blocks of `block_s` a variant; idle baselines of `idle_s` before, half-way and after, where they are asked."""

    blocks: int
    block_s: float
    idle_s: float
    idle_between: bool = False
    idle_after: bool = True

    def seconds(self, variants: int) -> float:
        return variants * self.blocks * (self.block_s + 0.3) + self.idle_s * (1 + self.idle_between + self.idle_after)


# Source: the durations of MLPerf Power (at least 60 s a window) and Green Metrics Tool (60 s of idle), shared out over
# alternating blocks.
PLANS = {
    "quick": EnergyPlan(5, 10.0, 15.0, idle_after=False),
    "standard": EnergyPlan(10, 30.0, 60.0),
    "full": EnergyPlan(20, 60.0, 60.0, idle_between=True),
}


def plan_for(preset: Preset, meter: Meter) -> EnergyPlan:
    """The preset's plan, with windows long enough for what the sensor resolves."""
    plan = PLANS[preset.name]
    return EnergyPlan(
        plan.blocks, max(plan.block_s, meter.min_window_s), max(plan.idle_s, meter.min_window_s), plan.idle_between,
        plan.idle_after,
    )  # fmt: skip


def describe(choice: Choice, preset: Preset, variants: int, modelled: Model | None = None) -> str:
    if choice.meter is None:
        estimate = f"; modelled: {modelled.words}" if modelled else ""
        return f"energy    not measured: {choice.why_not}{estimate}"
    plan = plan_for(preset, choice.meter)
    return (
        f"energy    {choice.asked} (covers: {choice.meter.coverage}), {plan.blocks} alternating blocks of "
        f"{plan.block_s:g} s each, idle {plan.idle_s:g} s, about {words(plan.seconds(variants))}"
    )
