"""The graphics card as a condition of a result, through the stand-in for NVML's library."""

import functools

import pytest

from edgeft.bundle import Bundle
from edgeft.errors import MachineError
from edgeft.evaluation import energy, gpu, passes, presets, record
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.session import Settings
from edgeft.evaluation.unfinished import Unfinished
from edgeft.report import words
from edgeft.report.sidebyside import differences
from tests.evaluation.meters.meter_fakes import world
from tests.evaluation.meters.test_nvml import Library, uuid_of
from tests.report.sample import document

CUDA = "CUDAExecutionProvider"


def card(library, provider=CUDA, **options):
    return gpu.card_of(provider, options, world("/nowhere", load=lambda name: library))


def test_what_the_card_is_and_the_state_it_was_found_in():
    library = Library()
    library.processes = 2
    assert gpu.record(card(library))["gpu"] == {
        "name": "NVIDIA H200", "uuid": uuid_of(0), "driver": "570.86.15", "mhz": 1980, "max_mhz": 1980,
        "power_limit_w": 700.0, "temperature_c": 41, "throttle_bits": 0, "other_processes": 2,
    }  # fmt: skip


def test_without_a_card_library_or_provider_there_is_no_part_gpu():
    assert card(Library(), "CPUExecutionProvider") is None and gpu.record(None) == {}
    assert gpu.card_of(CUDA, {}, world("/nowhere")) is None
    assert card(Library(nvmlInit_v2=9)) is None
    assert card(Library(), "TensorrtExecutionProvider") is not None


def test_what_the_card_does_not_support_is_absent_and_not_zero():
    about = card(Library(nvmlDeviceGetTemperature=3, nvmlDeviceGetEnforcedPowerLimit=3)).about
    assert "temperature_c" not in about and "power_limit_w" not in about and about["name"] == "NVIDIA H200"


@pytest.mark.parametrize(("visible", "asked", "number"), [("", 0, 0), ("", 1, 1), ("2,5", 1, 5), ("GPU-8f", 0, 0)])
def test_cuda_counts_the_cards_it_may_see(monkeypatch, visible, asked, number):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu._number({"device_id": asked}) == number


def two_cards(cuda=(1, 0)):
    """CUDA puts the faster one first; NVML counts by slot."""
    library = Library(cards=2)
    library.cuda = cuda
    return library


@pytest.mark.parametrize(("asked", "uuid"), [(0, uuid_of(1)), (1, uuid_of(0))])
def test_the_card_is_the_one_that_cuda_means(asked, uuid):
    assert card(two_cards(), device_id=asked).uuid == uuid


def test_where_cuda_does_not_say_its_numbers_are_taken_for_those_of_nvml(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert card(two_cards(())).uuid == uuid_of(1)


def test_the_name_of_a_part_of_a_card_is_none_of_nvml(monkeypatch):
    library = two_cards(cuda=(7, 0))  # NVML knows the cards 0 and 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert card(library).uuid == uuid_of(1)


def test_energy_is_read_from_the_card_the_model_runs_on():
    library = two_cards()
    here = world("/nowhere", load=lambda name: library)
    choice = energy.choose("auto", (), CUDA, here, card(library))
    assert choice.asked == f"nvml:{uuid_of(1)}" and choice.meter.uuid() == uuid_of(1)
    assert energy.choose("nvml:1", (), CUDA, here, card(library)).meter is not None
    with pytest.raises(MachineError, match=f"reads the card {uuid_of(0)}, and the model runs on {uuid_of(1)}"):
        energy.choose("nvml:0", (), CUDA, here, card(library))


def test_passes_of_two_cards_are_not_joined(tmp_path, capsys):
    one, other = (gpu.key(card(two_cards(), device_id=number)) for number in (0, 1))
    assert one == {"uuid": uuid_of(1), "name": "NVIDIA H200", "driver": "570.86.15"} and gpu.key(None) == {}
    Unfinished.begin(tmp_path / "result", {"gpu": one}, resume=False).keep("cold", {})
    again = Unfinished.begin(tmp_path / "result", {"gpu": other}, resume=True)
    assert not again.has("cold") and Unfinished.begin(tmp_path / "result", {"gpu": one}, resume=True).has("cold")
    assert "measured with other settings (gpu was" in capsys.readouterr().err


def test_the_card_is_part_of_what_resume_compares(bundle_path):
    bundle, settings = Bundle.open(bundle_path), Settings()
    key = functools.partial(
        record.key, bundle, ["original"], presets.preset("quick"), "single-stream", 0, None, settings, "generic"
    )
    assert key(None)["gpu"] == {} and key(card(two_cards()))["gpu"]["uuid"] == uuid_of(1)


def test_a_snapshot_has_temperature_clock_and_reasons(tmp_path):
    library = Library()
    library.mhz, library.throttle_bits = 1230, 0x44
    shot = Snapshot.take(tmp_path, card(library))
    assert shot == Snapshot(gpu_temperature_c=41, gpu_mhz=1230, gpu_throttle_bits=0x44)
    assert shot.as_json() == {"gpu_temperature_c": 41, "gpu_mhz": 1230, "gpu_throttle_bits": 0x44}


@pytest.mark.parametrize(
    ("bits", "found"),
    [
        (0x01, {}),  # idle between two blocks
        (0x04, {"gpu_power_cap": "note"}),
        (0x40, {"gpu_throttled": "invalid"}),
        (0x28, {"gpu_throttled": "invalid"}),
    ],
)
def test_a_card_that_was_held_back_is_a_flag(bits, found):
    shots = [Snapshot(gpu_throttle_bits=0), Snapshot(gpu_throttle_bits=bits), Snapshot()]
    flags = list(gpu.flags({"power_limit_w": 700.0}, shots, "latency"))
    assert {flag["code"]: flag["severity"] for flag in flags} == found
    assert all("(700 W)" in flag["evidence"] for flag in flags if flag["code"] == "gpu_power_cap")


def test_a_card_that_others_use_is_a_flag():
    (flag,) = gpu.flags({"other_processes": 1}, [], "energy")
    assert (flag["code"], flag["severity"], flag["affects"]) == ("gpu_shared", "warning", "energy")
    assert flag["evidence"] == "1 other process computes on the graphics card"


def test_a_hot_card_is_waited_for():
    cool = Snapshot(temperature_c=40.0, gpu_temperature_c=41)
    assert not passes._warmer(cool, Snapshot(temperature_c=42.0, gpu_temperature_c=43))
    assert passes._warmer(cool, Snapshot(temperature_c=40.0, gpu_temperature_c=44))


def test_reports_name_the_card_and_compare_tells_drivers_apart():
    one, other = document(), document()
    one["system"]["gpu"], other["system"]["gpu"] = ({"name": "NVIDIA H200", "driver": text} for text in ("570", "575"))
    assert dict(words.conditions(one))["machine"].endswith("NVIDIA H200, driver 570")
    assert differences(one, other) == [("system.gpu.driver", "570", "575")]
