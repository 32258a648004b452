"""What a machine says of itself, read from recorded files."""

from pathlib import Path

import pytest

from edgeft import machine
from edgeft.cpu import read_cpu
from edgeft.profile import load_profile
from edgeft.sysfiles import Tree, cpu_list

RECORDED = Path(__file__).parent / "recorded"


def test_a_raspberry_pi_5_is_described_with_units() -> None:
    found = machine.describe_machine(RECORDED / "raspberry-pi-5")
    assert found["board_model"] == "Raspberry Pi 5 Model B Rev 1.0"
    assert found["soc"] == "brcm,bcm2712"
    assert found["cpu_parts"] == ["0xd0b"]
    assert found["int8_path"] == "dotprod"
    assert found["cores"] == {"physical": 4, "logical": 4}
    assert found["max_mhz"] == [2400] and found["governor"] == "ondemand"
    assert found["ram_bytes"] == 8256960 * 1024
    assert found["swap"] == {"total_bytes": 102396 * 1024, "used_bytes": 0}
    assert found["temperatures_c"] == {"cpu-thermal": 48.85}
    assert found["throttled"] == "0x50005"
    assert found["kernel"] == "6.6.31+rpt-rpi-2712"


def test_the_firmware_of_a_raspberry_pi_is_its_bootloader(tmp_path: Path) -> None:
    place = tmp_path / "proc/device-tree/chosen/bootloader"
    place.mkdir(parents=True)
    (place / "version").write_bytes(b"fd1e0ae7d4b1bbd9e1e0d0c9b1a9b6b1f6b8f2a1\0")
    assert machine.describe_machine(tmp_path)["firmware"] == "bootloader fd1e0ae7"
    (place / "build-timestamp").write_bytes((1_700_000_000).to_bytes(4, "big"))  # 2023-11-14 22:13:20 UTC
    assert machine.describe_machine(tmp_path)["firmware"] == "bootloader fd1e0ae7 of 2023-11-14"


@pytest.mark.parametrize(
    ("said", "firmware"),
    [
        ("Sep 23 2024 14:02:56 \nCopyright (c) 2012 Broadcom\nversion 26826259 (release) (embedded)\n",
         "VideoCore 26826259 of Sep 23 2024"),
        ("2025/05/08 15:13:17 \nCopyright (c) 2012 Broadcom\nversion 69471177 (release) (embedded)\n",
         "VideoCore 69471177 of 2025/05/08"),
        ("Feb  8 2023 12:00:00 \nversion 0123abcd4567 (clean) (release) (start)\n", "VideoCore 0123abcd of Feb 8 2023"),
        ("VCHI initialization failed\n", None),
        (None, None),
    ],
)  # fmt: skip
def test_the_tool_of_a_raspberry_pi_says_which_firmware_sets_its_clocks(
    tmp_path: Path, said: str | None, firmware: str | None
) -> None:
    place = tmp_path / "proc/device-tree"
    place.mkdir(parents=True)
    (place / "model").write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    asked = machine.describe_machine(tmp_path, lambda word: said if word == "version" else None)
    assert asked.get("firmware") == firmware
    (place / "chosen/bootloader").mkdir(parents=True)
    (place / "chosen/bootloader/version").write_bytes(b"fd1e0ae7d4b1bbd9e1e0d0c9b1a9b6b1f6b8f2a1\0")
    both = machine.describe_machine(tmp_path, lambda word: said if word == "version" else None)["firmware"]
    assert both == ("bootloader fd1e0ae7" if firmware is None else f"bootloader fd1e0ae7, {firmware}")
    (place / "model").write_text("Orange Pi 5\0")
    assert "VideoCore" not in machine.describe_machine(tmp_path, lambda word: said)["firmware"]


def test_what_a_machine_does_not_say_is_absent_not_guessed() -> None:
    found = machine.describe_machine(RECORDED / "raspberry-pi-4")
    for key in ("ram_bytes", "governor", "max_mhz", "temperatures_c", "power_source", "throttled", "cpu_model", "swap"):
        assert key not in found
    assert None not in found.values()


def test_a_raspberry_pi_without_the_file_is_asked_by_its_tool(tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    model = tmp_path / "proc/device-tree/model"
    model.write_text("Raspberry Pi 4 Model B Rev 1.4\0")
    assert machine.pi_throttled(tmp_path, lambda word: "throttled=0x50005\n") == "0x50005"
    assert machine.pi_throttled(tmp_path, lambda word: None) is None  # the tool is missing
    assert machine.pi_throttled(tmp_path, lambda word: "VCHI initialization failed\n") is None
    assert machine.pi_throttled(tmp_path) is None  # a recorded tree is not the machine the tool would ask
    model.write_text("Orange Pi 5\0")
    assert machine.pi_throttled(tmp_path, lambda word: "throttled=0x0\n") is None


def test_a_tool_that_is_missing_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert machine._vcgencmd("version") is None


def test_an_empty_tree_gives_no_cores_and_no_board(tmp_path: Path) -> None:
    assert set(machine.describe_machine(tmp_path)) == {"architecture", "versions"}


def test_the_battery_of_a_mouse_does_not_drive_the_machine() -> None:
    assert "power_source" not in machine.describe_machine(RECORDED / "ryzen-5700g")


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging", "AC/type": "Mains", "AC/online": "0"}, "battery"),
        ({"BAT0/type": "Battery", "BAT0/status": "Charging", "AC/type": "Mains", "AC/online": "1"}, "ac"),
        ({"AC/type": "Mains", "AC/online": "1"}, "ac"),
    ],
)
def test_power_source(tmp_path: Path, files: dict[str, str], source: str) -> None:
    for name, content in files.items():
        place = tmp_path / "sys/class/power_supply" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    assert machine.describe_machine(tmp_path)["power_source"] == source


def test_a_sensor_that_cannot_be_read_is_absent(tmp_path: Path) -> None:
    # A gated zone answers EAGAIN; a folder in the file's place fails for every user, root too.
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").mkdir(parents=True)
    assert machine.temperatures_c(tmp_path) == {}


def test_hyperthreads_are_not_cores() -> None:
    cpu = read_cpu(RECORDED / "ryzen-5700g")
    assert len(cpu.online) == 16 and cpu.physical(frozenset(cpu.online)) == 8
    assert cpu.int8_path == "avx2"


def test_big_and_little_cores_are_told_apart() -> None:  # R12
    root = RECORDED / "orange-pi-5"
    cpu = read_cpu(root)
    assert cpu.little == {0, 1, 2, 3} and cpu.big == {4, 5, 6, 7}
    assert machine.describe_machine(root)["cores"] == {"physical": 8, "logical": 8, "big": 4, "little": 4}
    generic = load_profile("generic")
    everything = frozenset(range(8))
    assert machine.preferred_cpus(generic, root, everything) == (4, 5, 6, 7)
    assert machine.default_threads(generic, root, everything) == 4


def test_big_cores_that_are_not_allowed_leave_the_little_ones() -> None:
    root = RECORDED / "orange-pi-5"
    assert machine.preferred_cpus(load_profile("generic"), root, frozenset({0, 1})) == (0, 1)


def test_little_cores_by_part_number_without_capacities(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    text = (RECORDED / "orange-pi-5/proc/cpuinfo").read_text()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert read_cpu(tmp_path).little == {0, 1, 2, 3}


def test_a_quota_of_one_and_a_half_cpus_gives_one_thread() -> None:  # R11
    root = RECORDED / "xeon-vnni"
    assert machine.cgroup_cpu_quota(root) == 1.5
    assert machine.default_threads(load_profile("x86-64-vnni"), root, frozenset({0, 1})) == 1
    assert machine.allowed_cpus(root) == 1
    found = machine.describe_machine(root)
    assert found["cgroup_cpu_quota"] == 1.5 and found["container"] == "docker"
    assert found["virtualization"] == "virtual machine"


def test_the_quota_of_a_parent_group_counts_in_both_cgroup_versions(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n")
    parent = tmp_path / "sys/fs/cgroup/cpu/docker"
    (parent / "abc").mkdir(parents=True)
    (parent / "abc/cpu.cfs_quota_us").write_text("-1\n")
    (parent / "abc/cpu.cfs_period_us").write_text("100000\n")
    (parent / "cpu.cfs_quota_us").write_text("200000\n")
    (parent / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.cgroup_cpu_quota(tmp_path) == 2.0


def test_taskset_limits_the_threads() -> None:  # R11
    assert machine.default_threads(load_profile("raspberry-pi-5"), RECORDED / "raspberry-pi-5", frozenset({1})) == 1


def test_the_profile_caps_the_threads() -> None:
    everything = frozenset(range(16))
    root = RECORDED / "ryzen-5700g"
    assert machine.default_threads(load_profile("x86-64-avx2"), root, everything) == 8
    assert machine.default_threads(load_profile("intel-n100"), root, everything) == 4


def test_jetson_says_its_release_and_power_mode() -> None:
    found = machine.describe_machine(RECORDED / "jetson-orin-nano")
    assert found["firmware"] == "L4T 36.4.3" and found["power_mode"] == "pmode:0001"


def test_kernel_lists_and_natural_order(tmp_path: Path) -> None:
    assert cpu_list("0-3,6,8-9") == (0, 1, 2, 3, 6, 8, 9)
    assert cpu_list("") == ()
    for name in ("cpu10", "cpu2", "cpu1"):
        (tmp_path / name).mkdir()
    assert [path.name for path in Tree(tmp_path).glob("cpu*")] == ["cpu1", "cpu2", "cpu10"]


def test_this_machine_says_its_versions() -> None:
    assert machine.versions()["python"].count(".") == 2
    assert machine.allowed_cpus() >= 1
