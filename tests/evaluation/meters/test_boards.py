"""Raspberry Pi 5's power chip, hwmon sensors, batteries, macOS: recorded outputs and made-up trees."""

import pytest

from edgeft.evaluation.meters.battery import Battery
from edgeft.evaluation.meters.hwmon import HwmonEnergy, HwmonPower
from edgeft.evaluation.meters.pmic import Pi5Pmic, rails_w
from edgeft.evaluation.meters.powermetrics import Powermetrics
from edgeft.evaluation.meters.world import ReadError
from tests.evaluation.meters.meter_fakes import world, write

PMIC = """\
 3V7_WL_SW_A current(0)=0.09466522A
 VDD_CORE_A current(7)=1.11625000A
 3V7_WL_SW_V volt(8)=3.62925200V
 VDD_CORE_V volt(15)=0.74944980V
 EXT5V_V volt(24)=5.08530000V
 BATT_V volt(25)=0.00000000V
"""
PI5 = {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0"}


def test_rails_are_paired_by_name():
    # the input has a voltage only and is no rail; the figures are worked out by hand
    assert rails_w(PMIC) == pytest.approx({"3V7_WL_SW": 0.343564, "VDD_CORE": 0.836573}, abs=1e-6)


def test_the_rails_are_labelled_as_what_they_are(tmp_path):
    # M12
    meter = Pi5Pmic(world(write(tmp_path, PI5), run=PMIC))
    assert meter.available() is None and meter.coverage == "on-board rails"
    assert meter.watts() == pytest.approx(0.343564 + 0.836573, abs=1e-6)


def test_a_pi_4_has_no_current_sensor(tmp_path):
    # M12
    files = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4"}
    assert "no current sensor" in Pi5Pmic(world(write(tmp_path, files), run=PMIC)).available()


def test_a_power_chip_that_does_not_answer(tmp_path):
    reason = Pi5Pmic(world(write(tmp_path, PI5))).available()
    assert "does not answer" in reason and "usermod -aG video" in reason.fix
    assert "does not answer" in Pi5Pmic(world(tmp_path, run="error=1")).available()


HW = "sys/class/hwmon"
INA226 = {f"{HW}/hwmon2/name": "ina226", f"{HW}/hwmon2/power1_input": 4_130_000, f"{HW}/hwmon2/power1_label": "VIN",
          f"{HW}/hwmon2/in1_input": 5083, f"{HW}/hwmon2/curr1_input": 811}  # fmt: skip


def test_hwmon_power_is_microwatts(tmp_path):
    meter = HwmonPower(world(write(tmp_path, INA226)))
    assert meter.available() is None and meter.watts() == pytest.approx(4.13)
    assert meter.source == "ina226/VIN" and meter.coverage == "ina226/VIN rail"


def test_hwmon_volts_times_amperes(tmp_path):
    files = {f"{HW}/hwmon0/name": "ina219", f"{HW}/hwmon0/in1_input": 5083, f"{HW}/hwmon0/curr1_input": 811}
    assert HwmonPower(world(write(tmp_path, files))).watts() == pytest.approx(4.122313)


def test_what_does_not_feed_the_processor_is_left_out(tmp_path):
    files = {**INA226, f"{HW}/hwmon0/name": "amdgpu", f"{HW}/hwmon0/power1_average": 30_000_000}
    files |= {f"{HW}/hwmon1/name": "BAT0", f"{HW}/hwmon1/in0_input": 12000, f"{HW}/hwmon1/curr1_input": 800}
    meter = HwmonPower(world(write(tmp_path, files)))
    assert meter.source == "ina226/VIN"
    named = HwmonPower(world(tmp_path), "amdgpu")
    assert named.available() is None and named.watts() == pytest.approx(30.0)


def test_of_several_sensors_the_user_names_one(tmp_path):
    files = {**INA226, f"{HW}/hwmon5/name": "scmi_sensors", f"{HW}/hwmon5/power1_input": 2_000_000,
             f"{HW}/hwmon5/power1_label": "big"}  # fmt: skip
    root = write(tmp_path, files)
    reason = HwmonPower(world(root)).available()
    assert "ina226/VIN, scmi_sensors/big" in reason and "--meter hwmon:ina226/VIN" in reason.fix
    named = HwmonPower(world(root), "scmi_sensors/big")
    assert named.available() is None and named.watts() == pytest.approx(2.0)
    assert "no sensor 'small', only" in HwmonPower(world(root), "small").available()


def test_hwmon_energy_counts_microjoules(tmp_path):
    place = f"{HW}/hwmon1/energy1_input"
    root = write(tmp_path, {f"{HW}/hwmon1/name": "scmi_sensors", place: 7_000_000})
    meter = HwmonEnergy(world(root))
    before = meter.joules()
    write(root, {place: 9_500_000})
    assert meter.available() is None and meter.joules() - before == pytest.approx(2.5)


def test_an_unreadable_hwmon_sensor(tmp_path):
    # M04
    reason = HwmonPower(world(write(tmp_path, {**INA226, f"{HW}/hwmon2/power1_input": "<unreadable>"}))).available()
    assert "ina226/VIN cannot be read" in reason and "chmod" in reason.fix


BAT = "sys/class/power_supply/BAT0"
BATTERY = {f"{BAT}/type": "Battery", f"{BAT}/status": "Discharging", f"{BAT}/voltage_now": 11987000,
           f"{BAT}/current_now": 852000}  # fmt: skip


def test_a_battery_in_amperes_and_volts(tmp_path):
    meter = Battery(world(write(tmp_path, BATTERY)))
    assert meter.available() is None and meter.coverage == "whole device"
    assert meter.watts() == pytest.approx(11.987 * 0.852)


@pytest.mark.parametrize("value", [10212000, -10212000])  # drivers disagree about the sign
def test_a_battery_in_watts(tmp_path, value):
    assert Battery(world(write(tmp_path, {**BATTERY, f"{BAT}/power_now": value}))).watts() == pytest.approx(10.212)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging"])
def test_a_battery_counts_only_while_it_feeds_the_machine(tmp_path, status):
    meter = Battery(world(write(tmp_path, {**BATTERY, f"{BAT}/status": status})))
    assert status.lower() in meter.available() and "unplug" in meter.available().fix
    with pytest.raises(ReadError):
        meter.watts()


def test_the_battery_of_a_mouse_is_none(tmp_path):
    assert "no battery" in Battery(world(write(tmp_path, {**BATTERY, f"{BAT}/scope": "Device"}))).available()


POWERMETRICS = """\
*** Sampled system activity (Tue Nov 25 10:00:00 2025 +0100) (1002.90ms elapsed) ***

CPU Power: 823 mW
GPU Power: 26 mW
ANE Power: 323 mW
Combined Power (CPU + GPU + ANE): 1172 mW
"""


def test_powermetrics_adds_the_three_parts_and_not_their_sum(tmp_path):
    meter = Powermetrics(world(write(tmp_path, {"usr/bin/powermetrics": ""}), run=POWERMETRICS))
    assert meter.available() is None and meter.watts() == pytest.approx(1.172)


def test_powermetrics_without_root(tmp_path):
    assert "needs root" in Powermetrics(world(write(tmp_path, {"usr/bin/powermetrics": ""}))).available()
    assert Powermetrics(world(tmp_path / "linux")).available() == "not macOS"
