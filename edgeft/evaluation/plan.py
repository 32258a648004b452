"""What an evaluation is going to do, decided and said before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgeft.bundle import Bundle
from edgeft.errors import FolderError, MachineError, ModelError, UsageError, did_you_mean
from edgeft.evaluation import forecast, presets
from edgeft.evaluation.latency import Window, batches
from edgeft.evaluation.session import Settings, run_logits
from edgeft.evaluation.shelf import Shelf
from edgeft.evaluation.timing import Pace

BASELINE = "original"
# Offline batches are doubled up to this, as long as so much memory stays free.
MAX_BATCH, RESERVE_BYTES = 64, 200_000_000


def choose_variants(bundle: Bundle, asked: Sequence[str] | None) -> tuple[tuple[str, ...], str]:
    """(variants in the bundle's order, baseline). The original always takes part: everything is compared with it.

    A bundle without it is compared with its first variant. Raises UsageError for a variant that is not there.
    """
    there = list(bundle.variants)
    if not there:
        raise FolderError(f"{bundle.path} has no variants", "export the run again")
    for name in asked or ():
        if name not in there:
            raise UsageError(f"{bundle.path} has no variant {name!r}", did_you_mean(name, there))
    baseline = BASELINE if BASELINE in there else there[0]
    wanted = set(asked or there) | {baseline}
    return tuple(name for name in there if name in wanted), baseline


def pace_of(scenario: str) -> Pace:
    """single-stream and offline run at once, paced:MS every MS milliseconds."""
    if scenario.startswith("paced:"):
        return Pace(period_s=float(scenario.partition(":")[2]) / 1000)
    return Pace()


def describe(
    bundle: Bundle, names: Sequence[str], baseline: str, preset: presets.Preset, scenario: str, settings: Settings,
    profile_id: str, n: int,
) -> str:  # fmt: skip
    return "\n".join(
        [
            f"bundle    {bundle.path} ({bundle.task}, {n} held-out examples)",
            f"variants  {', '.join(names)}; baseline {baseline}"
            + (f" = {bundle.original_is}" if baseline == BASELINE else ""),
            f"runtime   {', then '.join([settings.provider, *settings.fallbacks])}, {settings.threads} threads, "
            f"profile {profile_id}",
            f"latency   preset {preset.label}, {scenario}: {preset.blocks} alternating blocks each, "
            f"{forecast.latency_range(preset, len(names) + preset.aa_check)}"
            + (", the baseline against itself included" if preset.aa_check else ""),
        ]
    )


def largest_batch(shelf: Shelf, window: Window, available: Callable[[], int | None]) -> tuple[int, str]:
    """(batch, why no more): the largest power of two, at most MAX_BATCH, at which every variant runs and RESERVE_BYTES
    stay free."""
    fixed = {name: size for name in shelf.names if (size := shelf.get(name).fixed_batch) is not None}
    if fixed:
        smallest = min(fixed, key=lambda name: fixed[name])
        return fixed[smallest], f"{smallest} is frozen to it"
    batch = 1
    while batch < MAX_BATCH:
        before = available()
        if refused := _refuses(shelf, window, batch * 2):
            return batch, f"{refused} does not run with {batch * 2}"
        batch *= 2
        after = available()
        if before is None or after is None:
            return batch, "this machine does not say how much memory is free"
        if after < RESERVE_BYTES + 2 * max(before - after, 0):
            return batch, f"{after / 1e6:.0f} MB of memory are left"
    return batch, "no more is tried"


def _refuses(shelf: Shelf, window: Window, batch: int) -> str | None:
    """The first variant that does not run with `batch` examples, or None."""
    for name in shelf.names:
        model = shelf.get(name)
        try:
            run_logits(model, batches(model, name, window, batch)[0], batch, name)
        # The runtime has no memory for it, or the shape is fixed inside; numpy has none; a process of its own died.
        except (ModelError, MemoryError, MachineError):
            shelf.drop(name)  # what it half allocated, or its dead process, must not stay
            return name
    return None
