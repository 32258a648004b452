"""NVIDIA graphics cards, through the driver's libnvidia-ml. Covers the board of the card, not the machine around it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

from edgeft.evaluation.meters.world import ReadError, Unavailable, World

LIBRARY = "libnvidia-ml.so.1"
# nvml.h, nvmlReturn_t
_ERRORS = {
    2: "no such card", 3: "not supported by this card", 4: "no permission", 6: "no such card", 9: "no driver",
    15: "the card has fallen off the bus",
}  # fmt: skip
_TOO_SMALL = 7  # the answer has more entries than there was room for, and says how many
_TEXT_BYTES = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE, the longest of the texts
_CLOCK_SM, _TEMPERATURE_GPU = 1, 0


class Nvml:
    """The few calls needed. Raises ReadError with the reason for every code but the `fine` ones."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._call("nvmlInit_v2")

    def _call(self, function: str, *arguments: Any, fine: tuple[int, ...] = (0,)) -> None:
        try:
            code = int(getattr(self._library, function)(*arguments))
        except AttributeError as error:  # an older driver
            raise ReadError(f"{function}: this driver does not have it") from error
        if code not in fine:
            raise ReadError(f"{function}: {_ERRORS.get(code, f'error {code}')}")

    def count(self) -> int:
        found = ctypes.c_uint()
        self._call("nvmlDeviceGetCount_v2", ctypes.byref(found))
        return found.value

    def card(self, index: int) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        return handle

    def card_named(self, uuid: str) -> ctypes.c_void_p:
        """By "GPU-…", which stays with the card whatever process counts it how."""
        handle = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", ctypes.c_char_p(uuid.encode("ascii", "replace")), ctypes.byref(handle))
        return handle

    def energy_mj(self, card: ctypes.c_void_p) -> int:
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", card, ctypes.byref(value))
        return value.value

    def power_mw(self, card: ctypes.c_void_p) -> int:
        return self._number("nvmlDeviceGetPowerUsage", card)

    def power_limit_mw(self, card: ctypes.c_void_p) -> int:
        return self._number("nvmlDeviceGetEnforcedPowerLimit", card)

    def mhz(self, card: ctypes.c_void_p) -> int:
        """Clock of the multiprocessors now."""
        return self._number("nvmlDeviceGetClockInfo", card, ctypes.c_uint(_CLOCK_SM))

    def max_mhz(self, card: ctypes.c_void_p) -> int:
        return self._number("nvmlDeviceGetMaxClockInfo", card, ctypes.c_uint(_CLOCK_SM))

    def temperature_c(self, card: ctypes.c_void_p) -> int:
        return self._number("nvmlDeviceGetTemperature", card, ctypes.c_uint(_TEMPERATURE_GPU))

    def throttle_bits(self, card: ctypes.c_void_p) -> int:
        """Why clocks are not higher: bits nvmlClocksThrottleReason… of nvml.h."""
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetCurrentClocksThrottleReasons", card, ctypes.byref(value))
        return value.value

    def processes(self, card: ctypes.c_void_p) -> int:
        """How many processes compute on it, this one included once it does."""
        found = ctypes.c_uint(0)
        self._call("nvmlDeviceGetComputeRunningProcesses_v3", card, ctypes.byref(found), None, fine=(0, _TOO_SMALL))
        return found.value

    def card_name(self, card: ctypes.c_void_p) -> str:
        return self._text("nvmlDeviceGetName", card)

    def uuid(self, card: ctypes.c_void_p) -> str:
        return self._text("nvmlDeviceGetUUID", card)

    def driver(self) -> str:
        return self._text("nvmlSystemGetDriverVersion")

    def _number(self, function: str, card: ctypes.c_void_p, *arguments: Any) -> int:
        value = ctypes.c_uint()
        self._call(function, card, *arguments, ctypes.byref(value))
        return value.value

    def _text(self, function: str, *arguments: Any) -> str:
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call(function, *arguments, text, ctypes.c_uint(_TEXT_BYTES))
        return text.value.decode("ascii", errors="replace")


@dataclass
class _Card:
    """`argument` is the card's number or its UUID ("GPU-…"); it must be given where there are several."""

    world: World = field(default_factory=World)
    argument: str = ""
    name: str = "nvml"
    coverage: str = "GPU board"
    min_window_s: float = 10.0

    def __post_init__(self) -> None:
        self._nvml: Nvml | None = None
        self._handle = ctypes.c_void_p()

    @property
    def source(self) -> str:
        return f"GPU {self.argument or 0}"

    def available(self) -> str | None:
        if self.argument and not self.argument.isdigit() and not self._is_uuid():
            return Unavailable(f"{self.argument!r} is no card number and no UUID", f"--meter {self.name}:0")
        try:
            nvml, card = self._open()
        except OSError as error:
            missing = "no NVIDIA driver" if not isinstance(error, ReadError) else str(error)
            return Unavailable(missing)
        cards = nvml.count()
        if cards > 1 and not self.argument:
            return Unavailable(f"{cards} cards", f"name one: --meter {self.name}:0", present=True)
        try:
            self._read(nvml, card)
        except ReadError as error:
            return Unavailable(str(error), self._other(), present=True)
        return None

    def _open(self) -> tuple[Nvml, ctypes.c_void_p]:
        if self._nvml is None:
            nvml = Nvml(self.world.load(LIBRARY))
            self._handle = nvml.card_named(self.argument) if self._is_uuid() else nvml.card(int(self.argument or 0))
            self._nvml = nvml
        return self._nvml, self._handle

    def _is_uuid(self) -> bool:
        return self.argument.startswith("GPU-")

    def uuid(self) -> str | None:
        """Of the card that is read; None where it does not say."""
        try:
            nvml, card = self._open()
            return nvml.uuid(card)
        except OSError:
            return None

    def _read(self, nvml: Nvml, card: ctypes.c_void_p) -> float:
        raise NotImplementedError

    def _other(self) -> str:
        return ""


@dataclass
class NvmlEnergy(_Card):
    """The card's energy counter (Volta and later); it is not sampled, as power is on A100 and H100 a quarter of the
    time (arXiv 2312.02741)."""

    lsb_j: float = 0.1  # steps of 1 mJ, and it moves only about every 100 ms
    keep_alive_s: float = 60.0
    wraps: int = 0  # 64 bits of mJ
    resolution: str = "counter in mJ, moves about every 100 ms; 5 % or 5 W class"

    def joules(self) -> float:
        return self._read(*self._open())

    def _read(self, nvml: Nvml, card: ctypes.c_void_p) -> float:
        return nvml.energy_mj(card) / 1e3

    def _other(self) -> str:
        return "try --meter nvml-power"


@dataclass
class NvmlPower(_Card):
    name: str = "nvml-power"
    hz: float = 10.0
    trim_s: float = 1.0  # it averages over a second
    resolution: str = "5 % or 5 W class; newer cards average only part of the time"

    def watts(self) -> float:
        return self._read(*self._open())

    def _read(self, nvml: Nvml, card: ctypes.c_void_p) -> float:
        return nvml.power_mw(card) / 1e3
