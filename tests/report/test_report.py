"""Reports of a result with round figures: every figure must be found where a reader looks for it."""

import json
import re
import sys

import pytest

from edgeft.errors import FolderError, UsageError
from edgeft.evaluation.result import Result
from edgeft.report import FORMATS, plots, print_as, words, write_reports
from tests.report.sample import document, write_result


@pytest.fixture
def result(tmp_path):
    return write_result(tmp_path / "result")


def test_the_table_in_full(result):
    table = print_as("text", result).split("\n\n")[0]
    assert table == "\n".join(
        [
            "variant   accuracy              p50 ms  p90 ms       speedup  size MB  peak MB",
            "------------------------------------------------------------------------------",
            "original  93.30 % baseline        20.1    21.1      baseline     18.6     96.0",
            "int8 !    93.00 % undecided       13.4    14.1         1.50x     4.70     96.0",
            "          -0.30 [-1.21, +0.61]                  [1.48, 1.52]",
        ]
    )


def test_nothing_is_wider_than_80_columns(tmp_path):
    content = document()
    content["variants"]["int8-ptq"] = content["variants"].pop("int8")
    worst = content["comparisons"]["int8-ptq"] = content["comparisons"].pop("int8")
    worst["accuracy"] |= {"diff": -0.1234, "ci95": [-0.3921, 0.2045]}
    worst["latency"] |= {"speedup": 25.96, "ci95": [18.603, 136.23]}
    content["validity"]["flags"][0]["evidence"] = "int8-ptq: " + "a long line about what happened " * 9
    text = print_as("text", write_result(tmp_path / "wide", content))
    assert max(map(len, text.splitlines())) <= 80
    assert "-12.3 [-39.2, +20.4]" in text and "[18.6, 136]" in text


def test_text_is_plain(result):
    assert print_as("text", result).isascii()


def test_energy_that_was_not_measured_is_said_and_has_no_figure(result):
    text, markdown = print_as("text", result), print_as("markdown", result)
    assert "energy  not measured: no meter" in text
    assert "energy an example" not in markdown + print_as("html", result)


def energy(gross_j: float, **more) -> dict:
    return {
        "status": "measured", "source": "ina3221", "path": "VDD_IN", "coverage": "module", "gross_j": gross_j,
        "gross_ci95": [0.9 * gross_j, 1.1 * gross_j], "sensor_resolution": "INA3221, steps of 40 mW", "n": 3000,
        "n_samples": 6000, "sample_hz": 20.0, "sampler_overhead": 0.012, "mean_w": 4.0,
        "tried": [{"meter": "rapl", "why_not": "only Intel and AMD processors have RAPL"}],
        "blocks": [{"order": 0, "t_start": 0.0, "s": 30.0, "n": 1500, "gross_j": 120.0}] * 2, **more,
    }  # fmt: skip


@pytest.fixture
def measured(tmp_path):
    content = document(budget=[
        {"text": "energy<=30mJ", "passed": False, "value": 0.0536, "coverage": "module", "variant": "int8",
         "by_variant": {}}])  # fmt: skip
    content["variants"]["original"]["energy"] = energy(0.0804)
    content["variants"]["int8"]["energy"] = energy(0.0536, wraps=1)
    content["comparisons"]["int8"]["energy"] = {"ratio": 0.667, "verdict": "less", "coverage": "module"}
    return write_result(tmp_path / "measured", content)


def test_measured_energy_has_a_column_and_memory_moves_down(measured):
    table = print_as("text", measured).split("\n\n")[0]
    assert table == "\n".join(
        [
            "variant   accuracy              p50 ms  p90 ms       speedup     mJ   size MB",
            "-----------------------------------------------------------------------------",
            "original  93.30 % baseline        20.1    21.1      baseline   80.4      18.6",
            "                                                                     96.0 RAM",
            "int8 !    93.00 % undecided       13.4    14.1         1.50x   53.6      4.70",
            "          -0.30 [-1.21, +0.61]                  [1.48, 1.52]  0.67x  96.0 RAM",
        ]
    )


@pytest.mark.parametrize("joules", [1.234e-5, 0.1, 12.34])
def test_the_table_with_energy_is_not_wider_than_80_columns(tmp_path, joules):
    content = document()
    content["variants"]["int8-ptq"] = content["variants"].pop("int8")
    worst = content["comparisons"]["int8-ptq"] = content["comparisons"].pop("int8")
    worst["accuracy"] |= {"diff": -0.1234, "ci95": [-0.3921, 0.2045]}
    worst["latency"] |= {"speedup": 25.96, "ci95": [18.603, 99.4]}
    worst["energy"] = {"ratio": 0.0123}
    content["validity"]["flags"][0] |= {"variant": "int8-ptq"}
    for one in content["variants"].values():
        one["energy"] = energy(joules)
    lines = print_as("text", write_result(tmp_path / "wide", content)).splitlines()
    assert max(map(len, lines)) <= 80 and lines[3].endswith("96.0 RAM")


def test_energy_is_never_told_without_what_it_covers(measured):
    text, markdown = print_as("text", measured), print_as("markdown", measured)
    joined = " ".join(text.split())
    assert "covers module; sensor: INA3221, steps of 40 mW" in joined
    assert "80.4 mJ an example (module), 4 W" in joined
    assert "energy<=30mJ int8 has 53.6 mJ of module" in joined and "has 53.6 mJ of module" in markdown


def test_sensor_samples_wraps_and_meters_tried_are_in_the_reports(measured):
    for shown in (print_as("markdown", measured), re.sub(r"<[^>]+>", "|", print_as("html", measured))):
        cells = [cell.strip() for line in shown.splitlines() for cell in line.split("|")]
        for cell in ("6000 at 20 Hz", "INA3221, steps of 40 mW", "3000 examples in 2 blocks, 60 s", "+1.2 %",
                     "80.4 mJ [72.4, 88.4]", "ina3221: VDD_IN"):  # fmt: skip
            assert cell in cells
        assert shown.count("rapl: only Intel and AMD processors have RAPL") == 1
    assert "| counter wraps | - | 1 |" in print_as("markdown", measured)


def test_the_energy_chart_has_the_intervals(measured):
    svg, caption = plots.energy(measured.document)
    # x runs from 0 at 14 to 1.02 * 88.44 mJ at 446: the interval of 72.36 to 88.44 lies between 360.52 and 437.53
    assert '<polyline class="bound" fill="none" points="360.52,37 437.53,37"/>' in svg
    assert "module" in caption and "95 % interval" in caption


def test_the_machines_state_is_told_where_it_is_known(tmp_path):
    content = document(checks={"start": {"load_1min": 0.25, "available_bytes": 3 * 2**30}})
    content["system"] |= {
        "governor": "ondemand", "max_mhz": [2400, 2400], "power_source": "ac", "cores": {"logical": 4},
        "allowed_cpus": 2, "cgroup_cpu_quota": 1.5, "cgroup_memory_bytes": 2**31, "throttled": "0x50000",
        "swap": {"total_bytes": 2**30, "used_bytes": 2**29},
    }  # fmt: skip
    content["runtime"] |= {"affinity": [2, 3], "session_config": {"session.x64quantprecision": 1}}
    block = content["variants"]["int8"]["latency"]["blocks"][0]
    block |= {"before": {"mhz": 2400.0, "temperature_c": 48.0}, "after": {"mhz": 1500.0, "temperature_c": 61.4}}
    told = dict(words.conditions(content))
    assert told["clocks"] == "governor ondemand; 1500 to 2400 MHz; highest 2400 MHz"
    assert told["temperature"] == "48 to 61 C" and told["power"] == "mains; mode 15W; throttled=0x50000"
    assert told["processors"] == "2 of 4 may be used; kept to 2, 3; container limit 1.5 CPUs"
    assert told["memory"] == "3 GiB free at the start; container limit 2 GiB; swap 0.5 of 1 GiB used"
    assert told["load"] == "0.25 at the start (1-minute average)"
    assert told["session"] == "session.x64quantprecision = 1"
    assert "48 to 61 C" in print_as("html", write_result(tmp_path / "told", content))


def test_what_a_person_stated_is_told_as_stated():
    content = document()
    content["system"] |= {"cooling": "fan", "ambient_c": 22.0, "ram_type": "2 x DDR4-3200", "ram_bytes": 2**33}
    content["system"]["stated"] = ["cooling", "ambient_c"]
    told = dict(words.conditions(content))
    assert told["surroundings"] == "cooling fan, air in C 22.0 (as stated)"
    assert told["memory"] == "8 GiB; 2 x DDR4-3200"


def test_what_the_machine_did_not_say_has_no_row():
    assert not {"surroundings", "clocks", "temperature", "processors", "memory", "load", "session"} & set(
        dict(words.conditions(document()))
    )


def test_absent_figures_are_a_dash_and_never_zero(tmp_path):
    content = document()
    for one in content["variants"].values():
        one["memory"] = {}
        del one["latency"]["p90_s"]
    rows = words.rows(write_result(tmp_path / "bare", content).document)
    assert [(row.p90, row.memory) for row in rows] == [("-", "-"), ("-", "-")]


def test_a_run_that_is_not_valid_says_so_in_every_format(tmp_path):
    content = document(validity={"valid": False, "flags": [
        {"code": "throttled", "severity": "invalid", "evidence": "hot", "affects": "latency"}]})  # fmt: skip
    content["claims"][0]["valid"] = False
    result = write_result(tmp_path / "hot", content)
    for name in ("text", "markdown", "html"):
        shown = re.sub(r"<[^>]+>", "", print_as(name, result))
        assert "NOT VALID: int8 is at least" in shown and "invalid: hot [throttled]" in shown


def test_budget_lines(tmp_path):
    content = document(budget=[{"text": "latency_p90<=10ms", "passed": False, "value": 0.0141, "variant": "int8",
                                "by_variant": {}}])  # fmt: skip
    text = print_as("text", write_result(tmp_path / "b", content))
    assert "MISS  latency_p90<=10ms  int8 has 14.1 ms" in text and "no variant keeps the whole budget" in text


def test_json_is_the_document(result):
    assert json.loads(print_as("json", result)) == result.document


def test_html_needs_nothing_from_elsewhere(result):
    html = print_as("html", result)
    assert len(re.findall(r"<figure><svg", html)) == 3
    assert "http" not in html and not re.search(r'src="(?!data:image/jpeg;base64,)|<script|@import|url\(', html)


def test_html_escapes_what_a_bundle_names(tmp_path):
    content = document()
    content["data"]["name"] = "<script>alert(1)</script>"
    html = print_as("html", write_result(tmp_path / "x", content))
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_no_plotting_package_is_needed(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "<polygon" in print_as("html", result)


def test_every_format_in_the_table_works_and_others_have_a_suggestion(result):
    assert set(FORMATS.names()) == {"text", "markdown", "json", "html"}
    assert all(print_as(name, result) for name in FORMATS.names())
    with pytest.raises(UsageError, match="did you mean 'markdown'"):
        print_as("markdwn", result)


def test_reports_are_written(result):
    write_reports(result)
    assert (result.path / "report.md").read_text().startswith("# clothes on ")
    assert (result.path / "report.html").read_text().startswith("<!doctype html>")


def test_a_result_without_its_document_is_unfinished(tmp_path):
    (tmp_path / "half").mkdir()
    with pytest.raises(FolderError, match=r"result.json is missing"):
        Result.open(tmp_path / "half")


def test_the_mark_behind_a_name_is_explained_where_it_stands(result):
    for form in ("markdown", "html"):
        shown = print_as(form, result)
        assert shown.count("(!) a flag below is about this variant.") == 1 and "int8 (!)" in shown
    content = document()
    content["validity"]["flags"] = []
    assert words.marked(content) == ""


@pytest.mark.parametrize(
    ("created", "shown"), [("2026-01-02T03:04:05+00:00", "2026-01-02 03:04 UTC"), ("last week", "last week")]
)
def test_a_moment_is_written_to_the_minute(created, shown):
    assert words.moment(created) == shown


def test_limits_of_a_budget_stand_out_in_html(measured):
    shown = print_as("html", measured)
    assert '<li class="invalid"><b>MISS</b> energy&lt;=30mJ: int8 has 53.6 mJ of module</li>' in shown
    assert "<li>no variant keeps the whole budget</li>" in shown
