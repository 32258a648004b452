"""The NVIDIA card that a model runs on: what it is, and its state from block to block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeft.evaluation import cuda
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.meters.nvml import LIBRARY, Nvml
from edgeft.evaluation.meters.world import ReadError, World

_PROVIDERS = ("CUDA", "Tensorrt", "NvTensorRT")
# nvml.h, nvmlClocksThrottleReason…: what holds the clocks below those the card was asked for. Idle, clocks that were
# set on purpose and the display are left out.
SLOWED = {
    0x08: "slowed down by the hardware", 0x20: "too hot (driver)", 0x40: "too hot (hardware)",
    0x80: "the power supply asked it to brake",
}  # fmt: skip
POWER_CAPPED = 0x04


def runs_on(provider: str) -> bool:
    """Whether that execution provider computes on an NVIDIA card."""
    return provider.startswith(_PROVIDERS)


@dataclass(frozen=True)
class Gpu:
    """One card. about: the part "gpu" of "system" in a result, read before this process computed on it."""

    nvml: Nvml
    card: Any
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uuid(self) -> str | None:
        return self.about.get("uuid")

    def look(self) -> dict[str, Any]:
        """Its part of a Snapshot: degrees, MHz, and the bits that say why clocks are not higher."""
        return _read(
            gpu_temperature_c=lambda: self.nvml.temperature_c(self.card),
            gpu_mhz=lambda: self.nvml.mhz(self.card),
            gpu_throttle_bits=lambda: self.nvml.throttle_bits(self.card),
        )

    def snapshot(self) -> Snapshot:
        return Snapshot.take(gpu=self)


def card_of(provider: str, options: Mapping[str, Any], world: World | None = None) -> Gpu | None:
    """The card `provider` runs on; None for other providers, and where the driver's library is absent."""
    if not runs_on(provider):
        return None
    world = world or World()
    try:
        nvml = Nvml(world.load(LIBRARY))
        card = _card(nvml, options, world)
    except OSError:
        return None
    about = _read(
        name=lambda: nvml.card_name(card),
        uuid=lambda: nvml.uuid(card),
        driver=nvml.driver,
        mhz=lambda: nvml.mhz(card),
        max_mhz=lambda: nvml.max_mhz(card),
        power_limit_w=lambda: nvml.power_limit_mw(card) / 1e3,
        temperature_c=lambda: nvml.temperature_c(card),
        throttle_bits=lambda: nvml.throttle_bits(card),
        other_processes=lambda: nvml.processes(card),
    )
    return Gpu(nvml, card, about)


def _card(nvml: Nvml, options: Mapping[str, Any], world: World) -> Any:
    """By what CUDA calls it; by its number where CUDA does not say, or says the name of a part (MIG)."""
    named = cuda.card_uuid(int(options.get("device_id", 0)), world)
    if named is not None:
        with contextlib.suppress(ReadError):
            return nvml.card_named(named)
    return nvml.card(_number(options))


def _number(options: Mapping[str, Any]) -> int:
    """Where CUDA does not say which card it means. NVML counts all cards; CUDA those that CUDA_VISIBLE_DEVICES names
    (numbers; other ways to name them are not followed)."""
    asked = int(options.get("device_id", 0))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return int(visible[asked]) if asked < len(visible) and visible[asked].strip().isdigit() else asked


def _read(**figures: Callable[[], Any]) -> dict[str, Any]:
    """What can be read; the rest is absent."""
    found = {}
    for name, read in figures.items():
        try:
            found[name] = read()
        except ReadError:
            continue
    return found


def key(gpu: Gpu | None) -> dict[str, Any]:
    """What has to be the same card for passes of two sittings to make one result."""
    return {name: gpu.about[name] for name in ("uuid", "name", "driver") if name in gpu.about} if gpu else {}


def other_card(meter: Any, gpu: Gpu | None) -> str | None:
    """Why `meter` does not measure what the model runs on: it reads another card than `gpu`; else None."""
    read = meter.uuid() if gpu is not None and gpu.uuid and hasattr(meter, "uuid") else None
    if gpu is None or read is None or read == gpu.uuid:
        return None
    return f"it reads the card {read}, and the model runs on {gpu.uuid}"


def record(gpu: Gpu | None) -> dict[str, Any]:
    """{"gpu": ...} for "system"; empty without one."""
    return {"gpu": dict(gpu.about)} if gpu is not None and gpu.about else {}


def flags(about: Mapping[str, Any], shots: Sequence[Snapshot], affects: str) -> Iterator[dict[str, Any]]:
    """What speaks against figures from that card. about: "gpu" of "system"; shots: the machine between blocks."""
    from edgeft.evaluation.validity import flag  # with numpy, which the sampler of a meter does without

    bits = 0
    for shot in shots:
        bits |= shot.gpu_throttle_bits or 0
    reasons = [words for bit, words in SLOWED.items() if bits & bit]
    if reasons:
        yield flag("gpu_throttled", "invalid", f"the graphics card was held back: {', '.join(reasons)}", affects)
    if bits & POWER_CAPPED:
        limit = f" ({about['power_limit_w']:g} W)" if "power_limit_w" in about else ""
        yield flag("gpu_power_cap", "note", f"the graphics card reached its power limit{limit}", affects)
    if others := about.get("other_processes"):
        evidence = f"{others} other {'process computes' if others == 1 else 'processes compute'} on the graphics card"
        yield flag("gpu_shared", "warning", evidence, affects)
