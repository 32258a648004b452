"""Which meter is used, what is said when none is, and the whole command with one."""

import pytest

from edgeft import doctor
from edgeft.errors import BudgetMissed, MachineError, UsageError
from edgeft.evaluation import energy, run
from edgeft.profile import load_profile, profile_names
from edgeft.report import print_as
from tests.evaluation.meters.meter_fakes import world, write
from tests.evaluation.meters.steady_meter import use_steady_meter
from tests.evaluation.meters.test_boards import BATTERY
from tests.evaluation.meters.test_jetson import ORIN_NANO
from tests.evaluation.meters.test_rapl import zone

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_the_profile_is_tried_first_and_what_failed_is_kept(tmp_path):
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0", 5), **BATTERY})
    assert energy.choose("auto", ("battery",), CPU, world(root)).asked == "battery"
    choice = energy.choose("auto", ("usb-meter", "plug"), CPU, world(root))
    assert choice.asked == "rapl" and choice.why_not is None
    assert [name for name, _ in choice.tried] == ["usb-meter", "plug"]
    assert "--meter shelly:HOST" in choice.tried[1][1]


def test_no_meter_is_not_measured_with_what_was_tried(tmp_path):
    choice = energy.choose("auto", (), CPU, world(tmp_path))
    assert choice.meter is None and "rapl" in choice.why_not and "edgeft doctor" in choice.why_not
    assert dict(choice.tried)["battery"] == "no battery"
    found = energy.not_measured(choice.why_not, choice.tried)
    assert found["status"] == "not_measured" and {entry["meter"] for entry in found["tried"]} == set(energy.LOCAL)
    assert "gross_j" not in found


def test_a_graphics_card_is_measured_only_when_the_model_runs_there(tmp_path):
    tried = dict(energy.choose("auto", (), CPU, world(tmp_path)).tried)
    assert "does not run there" in tried["nvml"]
    names = [name for name, _ in energy.choose("auto", ("rapl",), CUDA, world(tmp_path)).tried]
    assert names[:3] == ["nvml", "nvml-power", "rapl"]


def test_a_meter_that_was_named_must_work(tmp_path):
    with pytest.raises(MachineError, match="the meter battery cannot measure here: no battery"):
        energy.choose("battery", (), CPU, world(tmp_path))
    with pytest.raises(UsageError, match="did you mean 'battery'"):
        energy.choose("batery", (), CPU, world(tmp_path))
    with pytest.raises(MachineError, match="start the meter's recording first"):
        energy.choose(str(tmp_path / "plug.csv"), (), CPU, world(tmp_path))
    assert energy.choose("none", (), CPU, world(tmp_path)).why_not == "not asked for (--meter none)"


@pytest.mark.parametrize("name", profile_names())
def test_profiles_name_meters_that_exist(tmp_path, name):
    tried = [meter for meter, _ in energy.choose("auto", load_profile(name).energy, CPU, world(tmp_path)).tried]
    assert tried[: len(load_profile(name).energy)] == list(load_profile(name).energy)


@pytest.mark.parametrize("name", energy.METERS.names())
def test_every_meter_explains_itself_on_a_bare_machine(tmp_path, name):
    meter = energy.make(name, world(tmp_path))
    assert meter.name == name and meter.available()
    assert meter.resolution and meter.min_window_s >= 10
    assert isinstance(meter, (energy.Counter, energy.Power, energy.Log))


def test_doctor_lists_the_meters_that_are_there(tmp_path):
    files = {**zone("intel-rapl:0", "package-0", "<unreadable>"), **ORIN_NANO, **BATTERY}
    found = {finding.about: finding for finding in doctor.energy_meters(world(write(tmp_path, files)))}
    assert set(found) == {"energy: rapl", "energy: ina3221", "energy: battery"}
    assert "chmod a+r" in found["energy: rapl"].fix
    assert found["energy: ina3221"].state == "ready: VDD_IN, covers module"
    assert found["energy: ina3221"].fix == ""


def test_doctor_without_a_meter_says_what_would_help(tmp_path):
    (finding,) = doctor.energy_meters(world(write(tmp_path, {".dockerenv": ""})))
    assert "not measured" in finding.state and "docker run" in finding.fix
    cpu = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2\n"}
    (finding,) = doctor.energy_meters(world(write(tmp_path / "pc", cpu)))
    assert "modprobe intel_rapl_msr" in finding.fix


@pytest.fixture
def ten_watts(monkeypatch):
    use_steady_meter(monkeypatch.setattr)


def test_an_evaluation_with_a_meter(spec, ten_watts):
    result = run.evaluate(spec(meter="ten-watts", budget="energy<=1000J"))
    original, int8 = (result.document["variants"][name]["energy"] for name in ("original", "int8"))
    for found in (original, int8):
        assert found["status"] == "measured" and found["source"] == "ten-watts"
        assert found["mean_w"] == pytest.approx(10.0, rel=0.3)  # a busy machine may stop us between clock and counter
        joules, n = (sum(block[key] for block in found["blocks"]) for key in ("gross_j", "n"))
        assert found["gross_j"] == pytest.approx(joules / n)
        assert abs(found["net_j"]) < 0.3 * found["gross_j"]  # idle takes as much as load
    compared = result.document["comparisons"]["int8"]["energy"]
    assert compared["coverage"] == "CPU package" and compared["ci95"][0] <= compared["ratio"] <= compared["ci95"][1]
    assert any("CPU-package energy" in claim["text"] for claim in result.document["claims"])
    text, markdown, html = (print_as(name, result) for name in ("text", "markdown", "html"))
    assert "energy    measured with ten-watts, covers CPU package; sensor: 1 mJ; idle" in " ".join(text.split("\n"))
    assert "mJ an example" in text and max(map(len, text.splitlines())) <= 80
    assert "energy an example" in markdown and "(measured, CPU package)" in markdown and "covers CPU package" in html
    assert result.document["budget"][0]["passed"] and result.document["winner"] in ("original", "int8")


def test_a_budget_of_energy_can_be_missed(spec, ten_watts):
    with pytest.raises(BudgetMissed, match="energy<=0.000001mJ"):
        run.evaluate(spec(meter="ten-watts", budget="energy<=0.000001mJ"))


def test_without_a_meter_the_reason_and_what_was_tried_are_in_the_result(spec, monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "World", lambda: world(tmp_path))
    document = run.evaluate(spec(meter="auto")).document
    found = document["variants"]["int8"]["energy"]
    assert found["status"] == "not_measured" and "edgeft doctor" in found["reason"] and len(found["tried"]) >= 5
    assert {"meter": "battery", "why_not": "no battery"} in found["tried"]
    assert "energy" not in document["comparisons"]["int8"]
