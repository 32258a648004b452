"""Results side by side: a ratio only where conditions allow one."""

import re

import numpy as np
import pytest

from edgeft.errors import FolderError, UsageError
from edgeft.evaluation.result import Result, write_samples
from edgeft.report.compare import CONDITIONS, compare, differences
from edgeft.report.sidebyside import energy_ratio, same_answers, speed_ratio
from tests.report.sample import document, write_result


def blocks(content: dict, name: str, medians_s: list[float]) -> dict:
    for block, median_s in zip(content["variants"][name]["latency"]["blocks"], medians_s, strict=True):
        block["p50_s"] = median_s
    return content


def test_like_conditions_give_a_ratio(tmp_path):
    write_result(tmp_path / "monday")
    write_result(tmp_path / "tuesday", blocks(document(), "int8", [0.0067] * 4))
    table = compare([tmp_path / "monday", tmp_path / "tuesday"])
    assert re.search(r"tuesday  int8 .* 2\.00x \[2\.00, 2\.00\]", table)  # 13.4 ms against 6.7 ms
    assert "differs" not in table and "no ratio" not in table


def test_the_ratio_of_unpaired_blocks_has_welchs_interval():
    a = blocks(document(), "int8", [0.010, 0.011, 0.010, 0.011])
    b = blocks(document(), "int8", [0.005, 0.0055, 0.005, 0.0055])
    found = speed_ratio(a, b, "int8")
    # logs differ by ln 2; each has the variance (ln 1.1)^2 / 3 of 4 blocks, so 6 degrees of freedom: t = 2.447
    half = 2.447 * np.sqrt(2 * np.log(1.1) ** 2 / 3 / 4)
    assert found.point == pytest.approx(2.0)
    assert (found.low, found.high) == pytest.approx((2 * np.exp(-half), 2 * np.exp(half)))
    assert speed_ratio(a, b, "absent") is None


@pytest.mark.parametrize("field", CONDITIONS)
def test_any_differing_condition_refuses_the_ratio(field):
    other = document()
    place = other
    *path, last = field.split(".")
    for key in path:
        place = place.setdefault(key, {})
    place[last] = "something else"
    assert [name for name, _, _ in differences(document(), other)] == [field]


def test_two_power_modes_are_listed_instead_of_a_ratio(tmp_path):
    # M03
    slow = document()
    slow["system"]["power_mode"] = "7W"
    write_result(tmp_path / "a")
    write_result(tmp_path / "b", slow)
    table = compare([tmp_path / "a", tmp_path / "b"])
    assert "b differs from a in system.power_mode: 7W instead of 15W" in table
    assert len(re.findall(r"^b .*no, see below$", table, flags=re.MULTILINE)) == 2  # both variants
    assert "- b differs" in compare([tmp_path / "a", tmp_path / "b"], "markdown")


def test_a_result_that_is_not_valid_gives_no_ratio(tmp_path):
    hot = document(validity={"valid": False, "flags": [
        {"code": "throttled", "severity": "invalid", "evidence": "hot", "affects": "latency"}]})  # fmt: skip
    write_result(tmp_path / "a")
    write_result(tmp_path / "b", hot)
    table = compare([tmp_path / "a", tmp_path / "b"])
    assert "b is not valid (throttled)" in table and "no, see below" in table


def with_energy(gross_j: float, coverage: str) -> dict:
    content = document()
    for one in content["variants"].values():
        one["energy"] = {
            "status": "measured", "source": "rapl", "path": "intel-rapl:0", "coverage": coverage, "gross_j": gross_j,
            "blocks": [{"gross_j": 100 * gross_j * share, "n": 100} for share in (1.0, 1.1, 1.0, 1.1)],
        }  # fmt: skip
    return content


def test_energies_of_other_coverage_are_never_divided(tmp_path):
    a, b, c = with_energy(0.08, "CPU package"), with_energy(0.04, "CPU package"), with_energy(0.1, "wall")
    assert energy_ratio(a, b, "int8").point == pytest.approx(0.5)
    assert energy_ratio(a, c, "int8") == "measured, wall instead of measured, CPU package"
    assert energy_ratio(a, document(), "int8") is None
    for name, content in (("a", a), ("b", b), ("c", c)):
        write_result(tmp_path / name, content)
    table = compare([tmp_path / name for name in "abc"])
    # blocks as in the test of Welch's interval: 2.447 * sqrt(2 * ln(1.1)^2 / 3 / 4) = 0.0952 on the logarithm
    assert re.search(r"^b +int8 .*40 \(CPU package\).*0\.50x \[0\.45, 0\.55\] of CPU package$", table, re.MULTILINE)
    assert re.search(r"^c +int8 .*wall instead of measured, CPU package$", table, re.MULTILINE)


def test_external_meters_are_compared_when_they_are_one_or_their_coverage_is_named():
    same, other, named = (with_energy(0.08, "external meter") for _ in range(3))
    for document_, path in ((other, "tuesday.csv"), (same, "intel-rapl:0")):
        for one in document_["variants"].values():
            one["energy"]["path"] = path
    assert energy_ratio(same, with_energy(0.04, "external meter"), "int8").point == pytest.approx(0.5)
    refused = energy_ratio(same, other, "int8")
    assert refused.startswith("what tuesday.csv and intel-rapl:0 are wired to is not known")
    assert "FILE.csv@wall" in refused
    for content in (named, other):
        for one in content["variants"].values():
            one["energy"]["coverage"] = "USB-C input"
    assert energy_ratio(named, other, "int8").point == pytest.approx(1.0)


def test_energy_of_a_single_block_has_a_ratio_and_no_interval():
    a, b = with_energy(0.08, "wall"), with_energy(0.06, "wall")
    for content in (a, b):
        del content["variants"]["int8"]["energy"]["blocks"][1:]
    found = energy_ratio(a, b, "int8")
    assert found.point == pytest.approx(0.75) and found.low is None


def answered(folder, predicted: list[int], content: dict | None = None) -> Result:
    result = write_result(folder, content)
    arrays = {"positions": np.array([0, 1, 2, 5]), "int8/predicted": np.array(predicted)}
    write_samples(folder / "samples.npz", arrays)
    return result


def test_one_file_may_answer_otherwise_on_another_machine(tmp_path):
    # R08
    other = document()
    other["system"]["profile_id"] = "x86-64-avx2"
    first, second = answered(tmp_path / "a", [0, 1, 1, 0]), answered(tmp_path / "b", [0, 1, 1, 1], other)
    assert same_answers(first, second) == {"int8": (0.75, 4)}
    table = compare([tmp_path / "a", tmp_path / "b"])
    assert "b gives the same answers as a with int8 on 75.00 % of 4 samples" in table
    other["data"] = {**other["data"], "sha256": "c" * 64}
    assert same_answers(first, answered(tmp_path / "c", [0, 1, 1, 1], other)) == {}
    assert "cccccccccccc instead of aaaaaaaaaaaa" in compare([tmp_path / "a", tmp_path / "c"])


def test_machine_date_and_bundle_of_each_are_named(tmp_path):
    write_result(tmp_path / "x/result")
    write_result(tmp_path / "y/result", document(created_utc="2026-02-03T04:05:06+00:00"))
    for form in ("text", "markdown", "html"):
        shown = compare([tmp_path / "x/result", tmp_path / "y/result"], form)
        assert all(text in shown for text in ("x/result", "y/result", "2026-02-03 04:05", "Raspberry Pi 5 Model B"))


def test_columns_without_a_figure_are_left_out(tmp_path):
    write_result(tmp_path / "a")
    assert "mJ" not in compare([tmp_path / "a", tmp_path / "a"])


def test_html_is_a_page_that_needs_nothing_else(tmp_path):
    content = document()
    content["system"]["board_model"] = "<b>board</b>"
    write_result(tmp_path / "a", content)
    page = compare([tmp_path / "a", tmp_path / "a"], "html")
    assert page.startswith("<!doctype html>") and "&lt;b&gt;board" in page and "http" not in page


def test_compare_wants_two_results_and_a_known_format(tmp_path):
    write_result(tmp_path / "a")
    with pytest.raises(UsageError, match="at least two"):
        compare([tmp_path / "a"])
    with pytest.raises(UsageError, match="did you mean 'markdown'"):
        compare([tmp_path / "a", tmp_path / "a"], "markdwn")
    with pytest.raises(FolderError):
        compare([tmp_path / "a", tmp_path / "absent"])
