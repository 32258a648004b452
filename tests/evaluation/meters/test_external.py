"""Meters the user points at: plugs, commands, power logs."""

import sys

import pytest

from edgeft.errors import UsageError
from edgeft.evaluation import energy
from edgeft.evaluation.meters.command import Command
from edgeft.evaluation.meters.plugs import Shelly, Tasmota
from edgeft.evaluation.meters.powerlog import PowerLog
from edgeft.evaluation.meters.world import ReadError, World
from tests.evaluation.meters.meter_fakes import world

SHELLY = (
    '{"id":0,"source":"WS_in","output":true,"apower":4.1,"voltage":242.5,"current":0.033,'
    '"aenergy":{"total":18.015,"by_minute":[0.0,0.0,0.0],"minute_ts":1}}'
)
TASMOTA = (
    '{"StatusSNS":{"Time":"2019-09-06T20:06:19","ENERGY":{"Total":0.003,"Yesterday":0,"Today":0.003,"Power":26,'
    '"ApparentPower":25,"ReactivePower":25,"Factor":0.06,"Voltage":239,"Current":0.106}}}'
)


@pytest.mark.parametrize(
    ("kind", "url", "body", "watts"),
    [
        (Shelly, "http://10.0.0.7/rpc/Switch.GetStatus?id=0", SHELLY, 4.1),
        (Tasmota, "http://10.0.0.7/cm?cmnd=Status%208", TASMOTA, 26.0),
    ],
)
def test_plugs(kind, url, body, watts):
    meter = kind(world("/", get={url: body}), "10.0.0.7")
    assert meter.available() is None and meter.coverage == "wall" and meter.watts() == watts


def test_plugs_that_do_not_answer_as_expected():
    url = "http://plug/rpc/Switch.GetStatus?id=0"
    assert "does not answer" in Shelly(world("/"), "plug").available()
    for body in ("<html>", "{}", '{"apower":null}', "[]"):
        with pytest.raises(ReadError, match="no power in the answer"):
            Shelly(world("/", get={url: body}), "plug").watts()


def test_a_plug_is_asked_only_by_name():
    assert "--meter shelly:HOST" in Shelly(world("/"), "").available()
    for host in ("http://plug", "plug/../x", "a b", "u@plug"):
        assert "no host name" in Tasmota(world("/"), host).available()


def test_a_command_prints_watts():
    meter = Command(World(), f"'{sys.executable}' -c 'print(3.25)'")
    assert meter.available() is None and meter.watts() == 3.25


@pytest.mark.parametrize("line", ["print('3.1 W')", "print('nan')", "print('inf')", "pass", "raise SystemExit(4)"])
def test_a_command_that_prints_no_number_is_unavailable(line):
    meter = Command(World(), f"'{sys.executable}' -c \"{line}\"")
    assert meter.available() is not None
    with pytest.raises(ReadError):
        meter.watts()


@pytest.mark.parametrize(
    ("asked", "name", "argument", "coverage"),
    [
        ("power.csv", "log", "power.csv", "external meter"),
        ("logs/power.csv@USB-C input", "log", "logs/power.csv", "USB-C input"),
        ("log@wall:power.csv", "log", "power.csv", "wall"),
        ("command@wall:ssh pi@meter.local watts", "command", "ssh pi@meter.local watts", "wall"),
        ("command:ssh pi@meter.local cat x.csv", "command", "ssh pi@meter.local cat x.csv", "external meter"),
    ],
)
def test_the_user_may_name_what_an_external_meter_covers(asked, name, argument, coverage):
    meter = energy.make(asked, world("/nowhere"))
    assert (meter.name, meter.source, meter.coverage) == (name, argument, coverage)


def test_the_coverage_of_other_meters_is_not_for_the_user_to_say():
    with pytest.raises(UsageError, match="shelly covers wall and nothing else"):
        energy.make("shelly@USB-C input:plug", world("/nowhere"))


def test_a_command_that_is_not_there():
    assert "no-such-meter" in Command(World(), "no-such-meter --now").available()
    assert "'command:CMD'" in Command(World(), " ").available()


def log(tmp_path, text):
    place = tmp_path / "power.csv"
    place.write_text(text)
    return PowerLog(World(), str(place))


def test_a_log_of_watts(tmp_path):
    meter = log(tmp_path, "t_unix_s,watt\n1764057601.02,4.113\n1764057601.12,4.127\n")
    assert meter.available() is None
    assert meter.trace() == ([1764057601.02, 1764057601.12], [4.113, 4.127])


def test_a_log_of_volts_and_amperes(tmp_path):
    times, watts = log(tmp_path, "t,volt,amp\n1764057601.02,5.083,0.811\n1764057601.12,5.081,0.815\n").trace()
    assert watts == pytest.approx([5.083 * 0.811, 5.081 * 0.815])


def test_the_line_that_is_being_written_is_left_out(tmp_path):
    assert log(tmp_path, "t_unix_s,watt\n1.0,4.0\n2.0,4.").trace() == ([1.0], [4.0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,power\n1,2\n", "has the columns time, power"),
        ("", "empty file"),
        ("t_unix_s,watt\n1.0,4.0\n0.5,4.0\n", "line 3: time goes back"),
        ("t_unix_s,watt\n1.0,many\n", "line 2"),
        ("t_unix_s,watt\n1.0,nan\n", "line 2"),
    ],
)
def test_logs_that_are_not_right_say_where(tmp_path, text, reason):
    assert reason in log(tmp_path, text).available()


def test_a_log_that_is_not_there(tmp_path):
    assert "start the meter's recording first" in PowerLog(World(), str(tmp_path / "no.csv")).available()
