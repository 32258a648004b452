"""NVML through a stand-in for its C library."""

import ctypes

import pytest

from edgeft.evaluation.meters.nvml import NvmlEnergy, NvmlPower
from edgeft.evaluation.meters.world import ReadError
from tests.evaluation.meters.meter_fakes import world


def uuid_of(number: int) -> str:
    """Card 1 is GPU-01000000-0000-…"""
    return f"GPU-{number:02x}000000-0000-0000-0000-000000000000"


class Library:
    """codes: function -> what it returns (nvmlReturn_t), 0 by default. A handle is its card's number plus one.

    cuda: what CUDA counts, as NVML's numbers; empty = it does not say
    """

    def __init__(self, cards: int = 1, energy_mj: int = 0, power_mw: int = 0, **codes: int) -> None:
        self.cards, self.energy_mj, self.power_mw, self.codes = cards, energy_mj, power_mw, codes
        self.mhz, self.throttle_bits, self.processes = 1980, 0, 0
        self.cuda: tuple[int, ...] = ()

    def __getattr__(self, name):
        values = {
            "nvmlDeviceGetCount_v2": self.cards,
            "nvmlDeviceGetTotalEnergyConsumption": self.energy_mj,
            "nvmlDeviceGetPowerUsage": self.power_mw,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetClockInfo": self.mhz,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetTemperature": 41,
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.throttle_bits,
        }
        texts = {"nvmlDeviceGetName": b"NVIDIA H200", "nvmlSystemGetDriverVersion": b"570.86.15"}

        def call(*arguments):
            if name.startswith("cu"):
                return self._cuda(name, arguments)
            if name == "nvmlDeviceGetHandleByIndex_v2":
                arguments[1]._obj.value = arguments[0].value + 1
                return 0 if arguments[0].value < self.cards else 2
            if name == "nvmlDeviceGetHandleByUUID":
                known = {uuid_of(number).encode(): number for number in range(self.cards)}
                arguments[1]._obj.value = known.get(arguments[0].value, -1) + 1
                return 0 if arguments[0].value in known else 6
            if name == "nvmlDeviceGetUUID":
                arguments[1].value = uuid_of(arguments[0].value - 1).encode()
            if name in values:
                arguments[-1]._obj.value = values[name]
            if name in texts:
                arguments[-2].value = texts[name]
            if name == "nvmlDeviceGetComputeRunningProcesses_v3":
                arguments[1]._obj.value = self.processes
                return 7 if self.processes else 0
            return self.codes.get(name, 0)

        return call

    def _cuda(self, name, arguments):
        if name == "cuDeviceGet":
            if arguments[1].value >= len(self.cuda):
                return 101  # cuda.h, CUDA_ERROR_INVALID_DEVICE
            arguments[0]._obj.value = arguments[1].value
        if name == "cuDeviceGetUuid":
            arguments[0]._obj[0] = self.cuda[arguments[1].value]
        return 0


def meter_of(kind, library, argument=""):
    return kind(world("/nowhere", load=lambda name: library), argument)


def test_the_counter_is_millijoules():
    library = Library(energy_mj=5_000)
    meter = meter_of(NvmlEnergy, library)
    assert meter.available() is None and meter.coverage == "GPU board"
    before = meter.joules()
    library.energy_mj = 12_500
    assert meter.joules() - before == pytest.approx(7.5)


def test_power_is_milliwatts():
    assert meter_of(NvmlPower, Library(power_mw=71_250)).watts() == pytest.approx(71.25)


def test_a_card_that_does_not_support_it_is_unavailable_and_not_zero():
    # M10
    library = Library(nvmlDeviceGetTotalEnergyConsumption=3, nvmlDeviceGetPowerUsage=3)
    for kind in (NvmlEnergy, NvmlPower):
        meter = meter_of(kind, library)
        assert "not supported by this card" in meter.available()
        with pytest.raises(ReadError):
            meter.joules() if kind is NvmlEnergy else meter.watts()
    assert "nvml-power" in meter_of(NvmlEnergy, library).available().fix


def test_no_driver_and_no_library():
    assert "no driver" in meter_of(NvmlEnergy, Library(nvmlInit_v2=9)).available()
    assert NvmlEnergy(world("/nowhere")).available() == "no NVIDIA driver"


def test_of_several_cards_the_user_names_one():
    assert "--meter nvml:0" in meter_of(NvmlEnergy, Library(cards=2)).available().fix
    assert meter_of(NvmlEnergy, Library(cards=2), "1").available() is None
    assert "no card number" in meter_of(NvmlEnergy, Library(), "first").available()


def test_a_card_is_named_by_number_or_by_what_is_written_on_it():
    library = Library(cards=2)
    by_name, by_number = meter_of(NvmlEnergy, library, uuid_of(1)), meter_of(NvmlPower, library, "1")
    assert by_name.available() is None and by_number.available() is None
    assert by_name.uuid() == by_number.uuid() == uuid_of(1)
    assert by_name.source == f"GPU {uuid_of(1)}"
    assert "no such card" in meter_of(NvmlEnergy, library, "2").available()
    assert "no such card" in meter_of(NvmlEnergy, library, uuid_of(2)).available()
    assert meter_of(NvmlEnergy, library, "2").uuid() is None


def test_the_stand_in_takes_what_the_library_takes():
    value = ctypes.c_uint()
    assert Library(power_mw=9).nvmlDeviceGetPowerUsage(None, ctypes.byref(value)) == 0 and value.value == 9
