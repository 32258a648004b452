"""Reports of a result with round figures: every figure must be found where a reader looks for it."""

import json
import re
import sys

import pytest

from edgeft.errors import FolderError, UsageError
from edgeft.evaluation.result import Result
from edgeft.report import FORMATS, print_as, words, write_reports
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
