"""INA3221 rails in both layouts, and the total of each module by exact names."""

import pytest

from edgeft.evaluation.meters.jetson import Ina3221, find_rails
from edgeft.evaluation.meters.world import ReadError
from tests.evaluation.meters.meter_fakes import world, write

NEW = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
SECOND = "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4"
OLD = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"


def channel(number: int, name: str, mv: int | str = 5000, ma: int | str = 1000, at: str = NEW) -> dict[str, int | str]:
    return {f"{at}/in{number}_label": name, f"{at}/in{number}_input": mv, f"{at}/curr{number}_input": ma}


ORIN_NANO = {
    **channel(1, "VDD_IN", 5032, 1136),
    **channel(2, "VDD_CPU_GPU_CV", 5032, 164),
    **channel(3, "VDD_SOC", 5032, 324),
    f"{NEW}/in7_label": "sum of shunt voltages",
    f"{NEW}/in7_input": 12,
    f"{NEW}/shunt1_resistor": 5000,
}
AGX_ORIN = {
    **channel(1, "VDD_GPU_SOC", 19000, 200),
    **channel(2, "VDD_CPU_CV", 19000, 100),
    **channel(3, "VIN_SYS_5V0", 5000, 800),
    **channel(1, "NC", 0, 0, SECOND),
    **channel(2, "VDDQ_VDD2_1V8AO", 5000, 200, SECOND),
}


def test_the_input_rail_is_the_total(tmp_path):
    # M08, and Zeus took VDD_CPU_GPU_CV for the CPU because its name holds "cpu"
    meter = Ina3221(world(write(tmp_path, ORIN_NANO)))
    assert meter.available() is None and meter.coverage == "module"
    assert meter.source == "VDD_IN"
    assert meter.watts() == pytest.approx(5.032 * 1.136)
    # 40 uV over 5 mOhm are 8 mA; at 5.032 V 40 mW
    assert meter.resolution == "INA3221, steps of 40 mW"


def test_agx_orin_adds_the_three_rails_of_the_input_side(tmp_path):
    # Zeus finds no total here: VIN_SYS_5V0 matched none of its rules. VDDQ hangs on VIN_SYS_5V0.
    meter = Ina3221(world(write(tmp_path, AGX_ORIN)))
    assert meter.source == "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0"
    assert meter.watts() == pytest.approx(3.8 + 1.9 + 4.0)


def test_agx_xavier_has_no_input_rail_and_adds_six(tmp_path):
    names = [
        ("GPU", 1, NEW),
        ("CPU", 2, NEW),
        ("SOC", 3, NEW),
        ("CV", 1, SECOND),
        ("VDDRQ", 2, SECOND),
        ("SYS5V", 3, SECOND),
    ]
    files = {}
    for name, number, place in names:
        files |= channel(number, name, 5000, 200, place)
    assert Ina3221(world(write(tmp_path, files))).watts() == pytest.approx(6.0)


THOR = {
    **channel(1, "VDD_GPU", 12000, -33),  # an offset of -392 mW was seen there
    **channel(2, "VDD_CPU_SOC_MSS", 12000, 500),
    **channel(3, "VIN_SYS_5V0", 5000, 800),
    "sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon5/in1_input": 20000,
    "sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon5/curr1_input": 1500,
}


def test_thor_has_an_input_monitor_that_covers_the_carrier_too(tmp_path):
    meter = Ina3221(world(write(tmp_path, THOR)))
    assert meter.available() is None and meter.source == "VIN" and meter.coverage == "module and carrier board"
    assert meter.watts() == pytest.approx(30.0) and meter.resolution == "INA238, 16 bit"


def test_an_ina238_by_itself_is_some_other_boards(tmp_path):
    files = {name: value for name, value in THOR.items() if "ina238" in name}
    assert Ina3221(world(write(tmp_path, files))).available() == "no INA3221 power monitor (those of Jetson modules)"


def test_the_older_layout_is_found(tmp_path):
    # M09: JetPack 4, milliwatts
    rails = {"POM_5V_IN": 1750, "POM_5V_GPU": 0, "POM_5V_CPU": 366}
    files = {f"{OLD}/rail_name_{i}": name for i, name in enumerate(rails)}
    files |= {f"{OLD}/in_power{i}_input": value for i, value in enumerate(rails.values())}
    meter = Ina3221(world(write(tmp_path, files)))
    assert meter.source == "POM_5V_IN" and meter.watts() == pytest.approx(1.750)


def test_unused_channels_and_shunt_sums_are_no_rails(tmp_path):
    # jtop's total adds up whatever it finds
    found = find_rails(world(write(tmp_path, {**AGX_ORIN, f"{NEW}/in7_label": "sum of shunt voltages"})))
    assert set(found) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}


def test_an_unreadable_rail_beside_the_total_is_skipped(tmp_path):
    # M09: files of rails that are switched off answer with errors
    files = {**ORIN_NANO, **channel(3, "VDD_SOC", "<unreadable>")}
    meter = Ina3221(world(write(tmp_path, files)))
    assert meter.available() is None and meter.watts() == pytest.approx(5.716, abs=1e-3)


def test_an_unreadable_total_is_an_error_and_no_zero(tmp_path):
    files = {**ORIN_NANO, f"{NEW}/curr1_input": "<unreadable>"}
    meter = Ina3221(world(write(tmp_path, files)))
    assert "VDD_IN cannot be read" in meter.available()
    with pytest.raises(ReadError):
        meter.watts()


def test_rails_without_a_known_total_are_named_and_not_summed(tmp_path):
    reason = Ina3221(world(write(tmp_path, {**channel(1, "VDD_CPU"), **channel(2, "VDD_GPU")}))).available()
    assert "VDD_CPU, VDD_GPU" in reason and reason.present
