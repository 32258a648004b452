"""RAPL on trees made of the literal examples of the kernel's powercap document."""

import pytest

from edgeft.evaluation.meters.rapl import Rapl, RaplPsys
from edgeft.evaluation.meters.world import ReadError
from tests.evaluation.meters.meter_fakes import world, write

CAP = "sys/class/powercap"
RANGE = 262143328850  # literal on many Intel clients


def zone(place: str, name: str, energy_uj: int | str, span: int = RANGE) -> dict[str, int | str]:
    return {
        f"{CAP}/{place}/name": name,
        f"{CAP}/{place}/energy_uj": energy_uj,
        f"{CAP}/{place}/max_energy_range_uj": span,
    }


def set_uj(root, place, value):
    (root / CAP / place / "energy_uj").write_text(f"{value}\n")


def test_joules_between_two_reads(tmp_path):
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 86521654812))
    meter = Rapl(world(root))
    assert meter.available() is None and meter.coverage == "CPU package"
    before = meter.joules()
    set_uj(root, "intel-rapl:0", 86521654812 + 12_500_000)
    assert meter.joules() - before == pytest.approx(12.5)


def test_a_wrap_is_counted_through(tmp_path):
    # e0 = 262143328000, e1 = 1000, range 262143328850: 1,850 uJ
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 262143328000))
    meter = Rapl(world(root))
    before = meter.joules()
    set_uj(root, "intel-rapl:0", 1000)
    assert meter.joules() - before == pytest.approx(1850e-6) and meter.wraps == 1


def test_it_is_read_often_enough_for_one_wrap(tmp_path):
    # AMD: 65,532 J last 131 s at 500 W, more than any package takes; a quarter of it is 33 s
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 1, span=65_532_000_000))
    assert Rapl(world(root)).keep_alive_s == pytest.approx(32.8, abs=0.1)


def test_domains_that_contain_each_other_are_counted_once(tmp_path):
    # M06: psys, package, core, uncore and the memory-mapped copy of package; 9.6 W were summed to 14.4 W
    places = [
        zone("intel-rapl:0", "package-0", 1_000_000_000),
        zone("intel-rapl:0/intel-rapl:0:0", "core", 400_000_000),
        zone("intel-rapl:0:0", "core", 400_000_000),
        zone("intel-rapl:0:1", "uncore", 100_000_000),
        zone("intel-rapl:0:2", "dram", 700_000_000),
        zone("intel-rapl:1", "psys", 5_000_000_000),
        zone("intel-rapl-mmio:0", "package-0", 1_000_000_000),
    ]
    root = write(tmp_path, {name: text for place in places for name, text in place.items()})
    meter = Rapl(world(root))
    assert meter.source == "intel-rapl:0 (package-0), intel-rapl:0:2 (dram)"
    assert meter.coverage == "CPU package and memory"
    before = meter.joules()
    later = {
        "intel-rapl:0": 1_003_780_000, "intel-rapl:0:0": 400_840_000, "intel-rapl:0:2": 700_500_000,
        "intel-rapl:1": 5_009_610_000, "intel-rapl-mmio:0": 1_003_780_000,
    }  # fmt: skip
    for place, value in later.items():
        set_uj(root, place, value)
    assert meter.joules() - before == pytest.approx(3.78 + 0.5)


def test_the_platform_counter_is_a_meter_of_its_own(tmp_path):
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0", 1_000_000), **zone("intel-rapl:1", "psys", 5_000_000)})
    meter = RaplPsys(world(root))
    assert meter.available() is None and meter.coverage == "platform (psys)" and meter.source == "intel-rapl:1 (psys)"
    before = meter.joules()
    set_uj(root, "intel-rapl:0", 3_000_000)
    set_uj(root, "intel-rapl:1", 9_500_000)
    assert meter.joules() - before == pytest.approx(4.5)
    assert "psys" not in Rapl(world(root)).source


def test_a_board_without_a_platform_counter_says_which_there_is(tmp_path):
    reason = RaplPsys(world(write(tmp_path, zone("intel-rapl:0", "package-0", 5)))).available()
    assert reason == "this board has no psys counter; --meter rapl"


def test_two_dies_with_one_counter_are_counted_once(tmp_path):
    # M06: a Threadripper's dies both showed the socket's 68 W, and 137 W were reported
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0-die-0", 68_000_000_000),
                            **zone("intel-rapl:1", "package-0-die-1", 68_000_020_000)})  # fmt: skip
    meter = Rapl(world(root))
    assert meter.source == "intel-rapl:0 (package-0-die-0)"


@pytest.mark.parametrize("second", ["package-0-die-1", "package-1"])
def test_counters_of_their_own_are_added(tmp_path, second):
    root = write(tmp_path, {**zone("intel-rapl:0", second.replace("1", "0"), 68_000_000_000),
                            **zone("intel-rapl:1", second, 52_000_000_000)})  # fmt: skip
    meter = Rapl(world(root))
    before = meter.joules()
    set_uj(root, "intel-rapl:0", 68_002_000_000)
    set_uj(root, "intel-rapl:1", 52_003_000_000)
    assert meter.joules() - before == pytest.approx(5.0)


def test_two_sockets_with_equal_counters_are_both_counted(tmp_path):
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0", 1_000), **zone("intel-rapl:1", "package-1", 1_000)})
    assert "package-1" in Rapl(world(root)).source


def test_a_counter_that_cannot_be_read_is_never_zero(tmp_path):
    # M04: a permission error became 0 J elsewhere
    root = write(tmp_path, zone("intel-rapl:0", "package-0", "<unreadable>"))
    meter = Rapl(world(root))
    reason = meter.available()
    assert "package-0" in reason and "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in reason.fix
    assert "KERNEL==" in reason.fix and reason.present
    with pytest.raises(ReadError):
        meter.joules()


def test_a_read_that_fails_midway_leaves_the_sum_right(tmp_path):
    root = write(
        tmp_path, {**zone("intel-rapl:0", "package-0", 1_000_000), **zone("intel-rapl:1", "package-1", 9_000_000)}
    )
    meter = Rapl(world(root))
    before = meter.joules()
    set_uj(root, "intel-rapl:0", 3_000_000)
    (root / CAP / "intel-rapl:1/energy_uj").unlink()
    with pytest.raises(ReadError):
        meter.joules()
    set_uj(root, "intel-rapl:1", 10_000_000)
    assert meter.joules() - before == pytest.approx(2.0 + 1.0)


def test_memory_that_cannot_be_read_is_not_in_the_coverage(tmp_path):
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0", 5), **zone("intel-rapl:0:0", "dram", "<unreadable>")})
    meter = Rapl(world(root))
    assert meter.available() is None and meter.coverage == "CPU package"


def test_a_range_of_zero_marks_a_broken_counter(tmp_path):
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 5, span=0))
    assert "range is 0" in Rapl(world(root)).available()


def test_a_container_without_the_tree_is_told_how_to_mount_it(tmp_path):
    # M07
    reason = Rapl(world(write(tmp_path, {".dockerenv": ""}))).available()
    assert "docker container shows no /sys/class/powercap" in reason
    assert "-v /sys/class/powercap:/sys/class/powercap:ro" in reason.fix


def test_a_virtual_machine_has_no_counters(tmp_path):
    files = {"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2 hypervisor", "sys/hypervisor/type": "xen"}
    assert "virtual machine (xen)" in Rapl(world(write(tmp_path, files))).available()
