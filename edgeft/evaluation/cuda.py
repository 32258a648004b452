"""Which card CUDA means by a number: it counts only those it may see, the fastest first; NVML counts all by slot."""

from __future__ import annotations

import ctypes
import uuid
from typing import Any

from edgeft.evaluation.meters.world import World

LIBRARY = "libcuda.so.1"


def card_uuid(number: int, world: World) -> str | None:
    """"GPU-…" as NVML names it, of the card that this process knows as `number`; None where the driver does not say.

    Source: CUDA Driver API, cuDeviceGetUuid: 16 bytes, of the whole card also where it is divided (MIG). No context is
    made, so the card does not count this process among those that compute on it.
    """
    try:
        library = world.load(LIBRARY)
        device, found = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        _call(library, "cuInit", ctypes.c_uint(0))
        _call(library, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(number))
        _call(library, _uuid_function(library), ctypes.byref(found), device)
    except (OSError, AttributeError):
        return None
    return f"GPU-{uuid.UUID(bytes=bytes(found))}"


def _uuid_function(library: Any) -> str:
    """The first version names the whole card; a driver without it names the part that this process may use."""
    return "cuDeviceGetUuid" if hasattr(library, "cuDeviceGetUuid") else "cuDeviceGetUuid_v2"


def _call(library: Any, function: str, *arguments: Any) -> None:
    if code := int(getattr(library, function)(*arguments)):
        raise OSError(f"{function}: error {code}")
