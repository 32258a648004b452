"""Figures by slice: by hand, and as a result and its reports have them."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeft.evaluation import run, slices, stats
from edgeft.report import html, markdown, text
from tests.report.sample import DOCUMENT, write_result


def test_wilson_by_hand() -> None:
    # 9 of 10, z = 1.96: (0.9 + 0.19207) / 1.38415 -+ 1.96 / 1.38415 * sqrt(0.009 + 0.0096036)
    assert stats.wilson(9, 10) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert stats.wilson(10, 10)[1] == pytest.approx(1.0) and stats.wilson(0, 10)[0] == pytest.approx(0.0)
    assert 0.7 < stats.wilson(10, 10)[0] < 0.73


def test_figures_of_each_slice_but_not_of_examples_in_none() -> None:
    right = np.array([True, False, True, True, False])
    found = slices.figures(right, ["b", "b", "a", "b", ""])
    assert list(found) == ["a", "b"]
    assert (found["b"]["n"], found["b"]["right"]) == (3, pytest.approx(2 / 3))
    assert found["b"]["ci95"] == list(stats.wilson(2, 3))
    assert slices.figures(right, [""] * 5) == {}


def test_the_chance_is_the_share_of_all_draws() -> None:
    change = [-1, -1, -1, 1, 0, 0, 0, 0]
    for m in (1, 3, 5, 8):
        draws = [sum(drawn) for drawn in combinations(change, m)]
        for total in range(-3, 2):
            expected = np.mean([one <= total for one in draws])
            assert slices.chance(total, m, 3, 1, 8) == pytest.approx(expected, abs=1e-9)


def test_holm_by_hand() -> None:
    assert slices.holm({"a": 0.04, "b": 0.01, "c": 0.9}) == {
        "b": pytest.approx(0.03), "a": pytest.approx(0.08), "c": pytest.approx(0.9),
    }  # fmt: skip
    # an adjusted value is never below one before it
    assert slices.holm({"a": 0.02, "b": 0.021}) == {"a": pytest.approx(0.04), "b": pytest.approx(0.04)}


def night_loses(n: int = 200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """All right before; of 40 pictures at night 8 are wrong afterwards, of 160 by day 4."""
    before, after = np.ones(n, bool), np.ones(n, bool)
    after[:8] = after[40:44] = False
    return before, after, ["night"] * 40 + ["day"] * 160


def test_a_slice_that_loses_more_is_found_and_the_others_are_not() -> None:
    found = slices.changes(*night_loses())
    assert found["night"]["worse"] and not found["day"]["worse"]
    assert found["night"]["diff"] == pytest.approx(-0.2) and found["day"]["diff"] == pytest.approx(-0.025)
    paired = stats.paired_difference(8, 0, 40)
    assert found["night"]["ci95"] == [paired.low, paired.high]
    # twice the probability of 8 or more of the 12 losses among 40 of 200
    assert found["night"]["p"] == pytest.approx(2 * slices.chance(-8, 40, 12, 0, 200))


def test_a_loss_that_all_slices_share_is_no_reason_for_a_flag() -> None:
    rng = np.random.default_rng(0)
    before = np.ones(4000, bool)
    flagged = 0
    for _ in range(60):
        after = rng.random(4000) > 0.1
        flagged += any(one["worse"] for one in slices.changes(before, after, ["a"] * 500 + ["b"] * 3500).values())
    assert flagged <= 8  # 5 % of 60, and three standard errors


def with_slices() -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    before, after, names = night_loses()
    document["validity"]["flags"] = slices.add(document, {"original": before, "int8": after}, names)
    return document


def test_the_flag_names_the_slice_and_both_losses() -> None:
    (flag,) = with_slices()["validity"]["flags"]
    assert {**flag, "evidence": ""} == {
        "code": "slice", "severity": "warning", "variant": "int8", "affects": "accuracy", "evidence": "",
    }  # fmt: skip
    assert flag["evidence"].startswith(
        "int8 loses more on the slice 'night' than on the others: -20.0 points of 40 samples, -0.3 of all (p "
    )


def test_examples_without_slices_add_nothing() -> None:
    document = copy.deepcopy(DOCUMENT)
    assert slices.add(document, {"original": np.ones(3, bool), "int8": np.ones(3, bool)}, ["", "", ""]) == []
    assert document == DOCUMENT


def test_every_report_has_the_slices(tmp_path: Path) -> None:
    result = write_result(tmp_path / "with", with_slices())
    lines = text.render(result).splitlines()
    at = lines.index("right answers by slice")
    said = " ".join(line.strip() for line in lines[at + 1 : at + 5])
    assert "night: n 40, original 100.00 % [91.2, 100.0]; int8 80.00 %, -20.0 [" in said and "(!)" in said
    assert all(len(line) <= 80 for line in lines[at : at + 5])
    assert "| night | n 40, original 100.00 %" in markdown.render(result)
    assert "<h2>Right answers by slice</h2>" in html.render(result)
    assert "Right answers by slice" not in html.render(write_result(tmp_path / "without"))


def test_eval_measures_every_slice(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = run.read_examples
    monkeypatch.setattr(
        run, "read_examples", lambda path, labels: [replace(one, slice=labels[one.label]) for one in real(path, labels)]
    )
    result = run.evaluate(spec())
    assert result is not None
    found = result.document["variants"]["int8"]["accuracy"]["slices"]
    assert {name: (one["n"], one["right"]) for name, one in found.items()} == {
        "blue": (10, 1.0), "green": (10, 1.0), "red": (10, 1.0),
    }  # fmt: skip
    assert not any(one["worse"] for one in result.document["comparisons"]["int8"]["accuracy"]["slices"].values())
    assert "## Right answers by slice" in (result.path / "report.md").read_text()
