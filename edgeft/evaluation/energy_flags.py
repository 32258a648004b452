"""What speaks against an energy figure, with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeft.evaluation import gpu, stats
from edgeft.evaluation.energy_figures import Energy, overhead
from edgeft.evaluation.validity import DRIFT_RHO, Flag, environment, flag, throttling

IDLE_SHARE, IDLE_W = 0.05, 0.2
MIN_SAMPLES, MIN_STEPS = 100, 1000
DISTURBED = 0.03
# Meters at the wall, and those of which only the user knows where they are.
_BEFORE_THE_SUPPLY = ("shelly", "tasmota", "log", "command")


def energy_flags(energy: Energy, query_s: Mapping[str, float], system: Mapping[str, Any]) -> Iterator[Flag]:
    if energy.failure is not None:
        evidence = f"{energy.choice.asked} did not measure all of the energy pass: {energy.failure}"
        yield flag("meter", "invalid", evidence, "energy")
    if not energy.blocks:
        return
    looks = [shot for shots in energy.shots() for shot in shots]
    yield from gpu.flags(system.get("gpu", {}), looks, "energy")
    for shots in energy.shots():  # the kernel's counters may start anew between two sittings
        yield from throttling(shots, "energy")
    yield from environment([shot for shots in energy.shots() for shot in shots], "energy")
    yield from _charging(energy)
    yield from _idle(energy)
    yield from _resolution(energy)
    yield from _shared(energy, system)
    for name, seconds in query_s.items():
        if energy.of(name):
            found = [*_disturbed(energy, name, seconds), *_drift(energy, name)]
            yield from ({**one, "variant": name} for one in found)


def _idle(energy: Energy) -> Iterator[Flag]:
    watts = [one.watts for one in energy.idles]
    if len(watts) < 2:
        return
    apart = max(watts) - min(watts)
    if apart > IDLE_W or apart > IDLE_SHARE * min(watts):
        shown = ", ".join(f"{value:.2f}" for value in watts)
        yield flag("idle_drift", "warning", f"idle power changed by {apart:.2f} W ({shown} W)", "energy")


def _resolution(energy: Energy) -> Iterator[Flag]:
    samples = min((window.samples for _, window in energy.blocks if window.samples is not None), default=None)
    steps = min((window.steps for _, window in energy.blocks if window.steps is not None), default=None)
    if samples is not None and samples < MIN_SAMPLES:
        evidence = f"{samples} power samples in a block, {MIN_SAMPLES} wanted"
        yield flag("few_power_samples", "warning", evidence, "energy")
    if steps is not None and steps < MIN_STEPS:
        evidence = f"the counter moved by {steps:.0f} steps in a block, {MIN_STEPS} wanted"
        yield flag("few_counter_steps", "warning", evidence, "energy")


def _shared(energy: Energy, system: Mapping[str, Any]) -> Iterator[Flag]:
    """RAPL counts the processor, not the container."""
    confined = system.get("container") or system.get("virtualization")
    if confined and energy.choice.meter is not None and energy.choice.meter.name == "rapl":
        evidence = f"inside {confined}, the counter holds what all others on this processor use, too"
        yield flag("shared_meter", "warning", evidence, "energy")


def _charging(energy: Energy) -> Iterator[Flag]:
    """What stands before the machine's supply counts what goes into its battery, too."""
    meter = energy.choice.meter
    if meter is None or meter.name not in _BEFORE_THE_SUPPLY:
        return
    if any(shot.charging for shots in energy.shots() for shot in shots):
        evidence = f"a battery was charging, and {energy.choice.asked} counts that ({meter.coverage})"
        yield flag("charging", "invalid", evidence, "energy")


def _disturbed(energy: Energy, name: str, query_s: float) -> Iterator[Flag]:
    change = overhead(energy.of(name), query_s)
    if abs(change) > DISTURBED:
        word = "slower" if change > 0 else "faster"
        evidence = f"{name} ran {abs(change):.1%} {word} while energy was sampled than in the latency pass"
        yield flag("sampler_disturbed", "warning", evidence, "energy")


def _drift(energy: Energy, name: str) -> Iterator[Flag]:
    """Joules that walk with time, beyond what chance and one per cent explain."""
    values = [window.joules / block.examples for block, window in energy.of(name)]
    rho = stats.spearman(values)
    if abs(rho) > DRIFT_RHO and len(values) >= 5 and max(values) / min(values) > 1.05:
        evidence = f"{name}: joules an example walk with time (Spearman {rho:+.2f} over blocks)"
        yield flag("energy_drift", "warning", evidence, "energy")
