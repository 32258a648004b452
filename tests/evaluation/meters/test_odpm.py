"""The power monitor of Pixel phones, on what one shows (published listing of a Pixel 6)."""

import pytest

from edgeft.evaluation import energy
from edgeft.evaluation.meters.odpm import Odpm, rails_uj
from edgeft.evaluation.meters.world import ReadError
from edgeft.profile import load_profile
from tests.evaluation.meters.meter_fakes import world, write

MAIN = "sys/bus/iio/devices/iio:device0/energy_value"
SUB = "sys/bus/iio/devices/iio:device1/energy_value"
PIXEL_6 = {
    MAIN: """t=349894
CH0(T=349894)[S10M_VDD_TPU], 5578756
CH1(T=349894)[VSYS_PWR_MODEM], 29110940
CH2(T=349894)[VSYS_PWR_RFFE], 3166046
CH3(T=349894)[S2M_VDD_CPUCL2], 30203502
CH4(T=349894)[S3M_VDD_CPUCL1], 23377533
CH5(T=349894)[S4M_VDD_CPUCL0], 46356942
CH6(T=349894)[S5M_VDD_INT], 10771876
CH7(T=349894)[S1M_VDD_MIF], 21091363""",
    SUB: """t=359458
CH0(T=359458)[VSYS_PWR_WLAN_BT], 45993209
CH1(T=359458)[L2S_VDD_AOC_RET], 2822928
CH2(T=359458)[S9S_VDD_AOC], 6923706
CH3(T=359458)[S5S_VDDQ_MEM], 4658202
CH4(T=359458)[S10S_VDD2L], 5506273
CH5(T=359458)[S4S_VDD2H_MEM], 14254574""",
}
CPU_UJ = 30203502 + 23377533 + 46356942
MEMORY_UJ = 21091363 + 4658202 + 5506273 + 14254574


def test_rails_of_one_chip():
    assert rails_uj(PIXEL_6[MAIN])["S10M_VDD_TPU"] == 5578756
    assert len(rails_uj(PIXEL_6[MAIN])) == 8 and rails_uj("") == {}


def test_cpu_and_memory_are_added_up_and_nothing_else(tmp_path):
    meter = Odpm(world(write(tmp_path, PIXEL_6)))
    assert meter.available() is None and meter.coverage == "CPU and memory rails"
    assert meter.joules() == pytest.approx((CPU_UJ + MEMORY_UJ) / 1e6)
    assert "VSYS" not in meter.source and "S4M_VDD_CPUCL0" in meter.source


def test_joules_between_two_readings(tmp_path):
    meter = Odpm(world(write(tmp_path, PIXEL_6)))
    before = meter.joules()
    write(tmp_path, {MAIN: PIXEL_6[MAIN].replace("30203502", "33203502")})
    assert meter.joules() - before == pytest.approx(3.0)


def test_a_phone_without_memory_rails_says_so(tmp_path):
    meter = Odpm(world(write(tmp_path, {MAIN: "t=1\nCH3(T=1)[S2M_VDD_CPUCL2], 5000000"})))
    assert meter.coverage == "CPU rails" and meter.joules() == 5.0


def test_rails_can_be_named(tmp_path):
    root = write(tmp_path, PIXEL_6)
    meter = Odpm(world(root), "S10M_VDD_TPU")
    assert meter.available() is None and meter.coverage == "S10M_VDD_TPU rail"
    assert meter.joules() == pytest.approx(5.578756)
    assert "no rail 'S2S_VDD_G3D' among S10M_VDD_TPU" in Odpm(world(root), "S10M_VDD_TPU+S2S_VDD_G3D").available()


def test_a_monitor_that_is_not_permitted_says_what_would_help(tmp_path):
    meter = Odpm(world(write(tmp_path, {MAIN: "<unreadable>"})))
    assert "cannot be read" in meter.available() and "chmod a+r" in meter.available().fix


def test_a_rail_that_is_gone_is_no_zero(tmp_path):
    # M10
    meter = Odpm(world(write(tmp_path, PIXEL_6)))
    meter.joules()
    write(tmp_path, {SUB: "t=1"})
    with pytest.raises(ReadError, match="does not give S5S_VDDQ_MEM any more"):
        meter.joules()


def test_a_pixel_is_measured_with_it_first(tmp_path):
    here, preferred = world(write(tmp_path, PIXEL_6)), load_profile("android-arm64").energy
    assert energy.choose("auto", preferred, "CPUExecutionProvider", here).asked == "odpm"
