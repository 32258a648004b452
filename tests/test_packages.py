"""Packages that are missing, broken or wrong together, and what doctor says of a machine."""

import os
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeft import doctor, packages
from edgeft.errors import MachineError
from edgeft.evaluation.meters.world import World
from edgeft.profile import load_profile

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of child processes and of this one, for modules made up by a test."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def module(folder: Path, name: str, code: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(code))


def test_a_build_for_another_processor_is_told_and_survived(fake: Path) -> None:  # R15
    module(fake, "broken_runtime", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    reason = packages.why_not_importable("broken_runtime")
    assert reason is not None and "SIGILL: this build uses instructions this processor lacks" in reason.what


def test_for_onnxruntime_a_version_known_to_work_is_named(fake: Path) -> None:  # R15
    module(fake, "onnxruntime", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    reason = packages.why_not_importable("onnxruntime")
    assert reason is not None and "pip install 'onnxruntime==" in reason.next_step


def test_numpy_2_beside_an_older_runtime_is_one_line_with_the_pin(fake: Path) -> None:  # R16
    module(fake, "onnxruntime", """
        import sys
        sys.stderr.write("A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2.6\\n")
        raise AttributeError("_ARRAY_API not found")
    """)
    reason = packages.why_not_importable("onnxruntime")
    assert reason is not None and "built for NumPy 1" in reason.what and "numpy<2" in reason.next_step
    assert "\n" not in str(reason)


def test_any_other_failure_gives_its_last_line(fake: Path) -> None:
    module(fake, "odd", "raise RuntimeError('libfoo.so.1: cannot open')")
    reason = packages.why_not_importable("odd")
    assert reason is not None and reason.what.endswith("fails: RuntimeError: libfoo.so.1: cannot open")


def test_what_is_missing_is_named_by_module_with_the_extra_that_brings_it() -> None:
    reason = packages.why_not_importable("no_such_module")
    assert reason is not None and "no_such_module is not installed" in reason.what
    assert packages.how_to_install("onnxruntime") == "pip install 'edgeft[device]'"
    assert packages.how_to_install("torch.nn") == "pip install 'edgeft[train]'"
    assert packages.how_to_install("matplotlib") == "pip install 'edgeft[report]'"


def test_a_vendors_runtime_satisfies_by_module_name(fake: Path) -> None:
    module(fake, "onnxruntime", "__version__ = '1.19.0'")
    packages.need("onnxruntime")


def test_a_missing_part_of_edgeft_is_no_missing_package() -> None:
    assert packages.missing(ModuleNotFoundError("m", name="edgeft.nothing")) is None


def test_need_raises_the_reason() -> None:
    with pytest.raises(MachineError, match="no_such_module"):
        packages.need("no_such_module")


def _absent(*_: object) -> Any:
    raise OSError("not on this machine")


def meters_at(root: Path) -> list[doctor.Finding]:
    """What doctor finds in a file tree, with no commands, network or libraries around it."""
    return doctor.energy_meters(World(root, run=_absent, get=_absent, load=_absent))


def test_readable_rapl_is_listed_without_its_inner_domains() -> None:
    (found,) = meters_at(RECORDED / "intel-n100")
    assert found.about == "energy: rapl"
    assert found.state == "ready: intel-rapl:0 (package-0), covers CPU package"


def test_rapl_that_cannot_be_read_says_what_to_type(tmp_path: Path) -> None:  # M04
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    (zone / "energy_uj").mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    (found,) = meters_at(tmp_path)
    assert found.about == "energy: rapl" and "energy_uj" in found.state and not found.state.startswith("ready")
    assert found.fix


def test_jetson_rails_in_the_older_layout(tmp_path: Path) -> None:  # M09
    old = tmp_path / "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    old.mkdir(parents=True)
    (old / "rail_name_0").write_text("POM_5V_IN\n")
    (old / "in_power0_input").write_text("1750\n")
    (found,) = meters_at(tmp_path)
    assert found.state == "ready: POM_5V_IN, covers module"


def test_a_rail_whose_readings_are_gone_is_not_ready() -> None:  # M09: the recorded tree has labels only
    (found,) = meters_at(RECORDED / "jetson-orin-nano")
    assert found.state.startswith("VDD_IN cannot be read")


def test_a_board_without_a_sensor_has_none() -> None:  # M07, M12
    (found,) = meters_at(RECORDED / "raspberry-pi-4")
    assert "energy will be reported as not measured" in found.state and "--meter FILE.csv" in found.fix
    (found,) = meters_at(RECORDED / "xeon-vnni")
    assert "a virtual machine has no energy counters" in found.state  # and its containers cannot be given any


def test_doctor_on_a_pi_names_throttling_and_governor() -> None:
    text = doctor.describe(doctor.examine(RECORDED / "raspberry-pi-5"))
    assert "0x50005: the board is slowed down now" in text and "use a stronger power supply" in text
    assert "ondemand" in text and "scaling_governor" in text
    assert "dotprod" in text and "48.9 °C" in text or "48.8 °C" in text


def test_doctor_names_a_preferred_provider_that_is_missing_and_how_to_get_it() -> None:
    there = ["AzureExecutionProvider", "CPUExecutionProvider"]
    (qnn,) = doctor.lacking_providers(load_profile("snapdragon-x-elite"), there, "aarch64")
    assert qnn.about == "QNN" and "profile snapdragon-x-elite prefers it" in qnn.state
    assert qnn.fix.endswith("pip install 'onnxruntime-qnn<2'")
    first, second = doctor.lacking_providers(load_profile("jetson-orin-nano"), there, "aarch64")
    assert (first.about, second.about) == ("Tensorrt", "CUDA") and "wheel for your JetPack" in first.fix
    (cuda, _) = doctor.lacking_providers(load_profile("nvidia-gpu"), there, "x86_64")
    assert cuda.about == "CUDA" and "'onnxruntime-gpu[cuda,cudnn]'" in cuda.fix
    openvino = replace(load_profile("intel-n100"), providers=("OpenVINOExecutionProvider", "CPUExecutionProvider"))
    assert doctor.lacking_providers(openvino, there, "x86_64")[0].fix.endswith("onnxruntime-openvino")


def test_doctor_leaves_out_providers_that_come_after_one_that_is_there() -> None:
    assert doctor.lacking_providers(load_profile("intel-n100"), ["CPUExecutionProvider"], "x86_64") == []
    gpu = load_profile("nvidia-gpu")
    assert doctor.lacking_providers(gpu, ["CUDAExecutionProvider", "CPUExecutionProvider"], "x86_64") == []


def test_doctor_tells_swap_limits_and_throttling_that_is_over(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": "MemTotal: 512000 kB\nMemAvailable: 102400 kB\nSwapTotal: 102400 kB\nSwapFree: 51200 kB\n",
        "proc/self/cgroup": "0::/docker/abc\n",
        "sys/fs/cgroup/docker/abc/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/docker/abc/memory.max": f"{256 * 2**20}\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
    }
    for name, content in files.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    text = doctor.describe([*doctor._clocks(tmp_path), *doctor._memory(tmp_path)])
    assert "50 MiB of 100 MiB used" in text and "swapoff -a" in text
    assert "1.5 CPUs' worth of time" in text and "256 MiB of memory" in text
    # 0x50000: bits 16 and 18, under-voltage and throttling since the start
    assert "0x50000: not now" in text and "use a stronger power supply; a restart clears this" in text


def test_doctor_says_that_eval_cannot_work(fake: Path) -> None:
    module(fake, "onnxruntime", "raise ImportError('no')")
    blocking = [finding for finding in doctor.examine(RECORDED / "raspberry-pi-5") if finding.blocks_eval]
    assert [finding.about for finding in blocking] == ["onnxruntime"]


def test_doctor_says_what_a_missing_package_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "is_installed", lambda module: False)
    found = doctor._group("report packages", doctor._REPORT, "report")
    assert found.state == "not installed: matplotlib (only for the pictures of edgeft tune)"
    assert found.fix == "pip install 'edgeft[report]'"
