"""Charts: what is drawn can be worked out from round figures."""

import re
from pathlib import Path

import numpy as np
import pytest

from edgeft.report import plots, print_as
from edgeft.report.confusion import change, largest
from edgeft.report.svg import Chart, Scale, ticks
from tests.report.sample import document, write_result


def test_ticks_are_round_numbers():
    assert ticks(0.0, 22.0) == [0.0, 5.0, 10.0, 15.0, 20.0]
    assert ticks(91.3, 94.1) == [92.0, 93.0, 94.0]
    assert ticks(3.0, 3.0) == [3.0]


def test_a_scale_is_linear_and_takes_a_single_value():
    assert [Scale(0, 10, 100, 300).at(value) for value in (0, 5, 10)] == [100, 200, 300]
    assert Scale(4, 4, 0, 100).at(4) == 50


def test_a_name_is_escaped_and_a_long_one_cut():
    chart = Chart((0, 1), (0, 1), "<x>", "y")
    chart.text(0, 0, "a & b" + "c" * 60, "tick", most=24)
    svg = chart.svg("t")
    assert "&lt;x&gt;" in svg and "…<title>a &amp; b" in svg


def four() -> dict:
    """original 93.3 % at 20.1 ms; a is as accurate and faster; b is faster still and worse; c is beaten by b."""
    content = document()
    new = content["variants"].pop("int8")
    content["comparisons"] = {name: content["comparisons"]["int8"] for name in "abc"}
    for name, accuracy, p50_s in (("a", 0.933, 0.018), ("b", 0.92, 0.010), ("c", 0.91, 0.011)):
        content["variants"][name] = {**new, "accuracy": {**new["accuracy"], "value": accuracy},
                                     "latency": {**new["latency"], "p50_s": p50_s}}  # fmt: skip
    return content


def test_the_pareto_front():
    assert plots.pareto(four()) == ["b", "a"]
    svg, caption = plots.accuracy_latency(four())
    assert "Pareto front (b, a)" in caption
    filled = re.findall(r'<path class="s(\d) full"', svg)
    assert filled == ["1", "2"] and re.findall(r'<path class="s(\d) hollow"', svg) == ["0", "3"]


def test_equal_variants_are_both_on_the_front():
    content = document()
    content["variants"]["int8"]["accuracy"]["value"] = 0.933
    content["variants"]["int8"]["latency"]["p50_s"] = 0.0201
    assert set(plots.pareto(content)) == {"original", "int8"}


def test_drift_is_in_per_cent_of_the_own_median():
    content = document()
    for block, p50_s in zip(content["variants"]["int8"]["latency"]["blocks"], (0.01, 0.01, 0.01, 0.011), strict=True):
        block["p50_s"] = p50_s
    svg, _ = plots.drift(content)
    assert "int8, block 7: +10.00 %" in svg and "original, block 0: +0.00 %" in svg


def test_energy_is_drawn_only_where_it_was_measured(tmp_path):
    assert "energy of an inference" not in print_as("html", write_result(tmp_path / "a"))
    content = document()
    for name, gross in (("original", 0.080), ("int8", 0.050)):
        content["variants"][name]["energy"] = {
            "status": "measured", "source": "rapl", "coverage": "CPU package", "gross_j": gross, "net_j": 0.02,
        }  # fmt: skip
    html = print_as("html", write_result(tmp_path / "b", content))
    assert "original: 80 mJ" in html and "int8: 50 mJ" in html and "Energy of CPU package (measured)" in html


def test_every_part_of_a_chart_has_a_colour(tmp_path):
    """A line of a class that takes its colour from a series is invisible without one."""
    style = (Path(plots.__file__).with_name("style.css")).read_text()
    coloured = {name for name, rule in re.findall(r"\.([a-z]+) \{([^}]*)\}", style) if "var(--c)" in rule}
    assert {"whisker", "trace", "ridge", "mid", "tail", "full", "hollow"} <= coloured
    content = document()
    for name, gross in (("original", 0.080), ("int8", 0.050)):
        content["variants"][name]["energy"] = {
            "status": "measured", "source": "rapl", "coverage": "CPU package", "gross_j": gross, "net_j": 0.02,
            "gross_ci95": [gross - 0.001, gross + 0.001],
        }  # fmt: skip
    drawn = [svg for svg, _ in plots.all_plots(write_result(tmp_path / "result", content))]
    classes = [found.split() for svg in drawn for found in re.findall(r'class="([^"]+)"', svg)]
    assert len(drawn) == 4 and sum(names == ["bound"] for names in classes) == 6
    for names in classes:
        assert not coloured.intersection(names) or any(re.fullmatch(r"s\d", name) for name in names), names
        assert all(re.search(rf"\.{name}\b", style) for name in names), names


def by_class(**recalls):
    return {label: {"n": 10, "recall": recall} for label, recall in recalls.items()}


def test_change_by_class_and_its_samples():
    content = document()
    content["variants"]["original"]["accuracy"]["per_class"] = by_class(cat=0.9, dog=0.5, cow=0.7)
    content["variants"]["int8"]["accuracy"]["per_class"] = by_class(cat=0.6, dog=0.7, cow=0.7)
    changes = plots.recall_changes(content, "int8")
    assert [(label, round(change), n) for label, change, n, _ in changes] == [
        ("cat", -30, 10), ("cow", 0, 10), ("dog", 20, 10),
    ]  # fmt: skip
    svg, _ = plots.recall_change(content, "int8")
    assert svg.count('class="fall"') == svg.count('class="rise"') == 1 and "cow" not in svg


def test_no_change_by_class_draws_nothing():
    assert plots.recall_change(document(), "int8") is None


SAMPLES = {
    "labels": np.array([0, 0, 1, 1, 2]),
    "original/predicted": np.array([0, 0, 1, 1, 2]),
    "int8/predicted": np.array([0, 1, 1, 0, 2]),
}


def test_confusion_change():
    moved = change(SAMPLES, "original", "int8", ("cat", "dog", "cow"))
    assert moved.labels == ("cat", "dog") and moved.counts.tolist() == [[-1, 1], [1, -1]]
    assert moved.moved == 2 and moved.left_out == 0
    assert {(right, answer) for right, answer, count in largest(moved) if count == 1} == {
        ("cat", "dog"),
        ("dog", "cat"),
    }
    assert change(SAMPLES, "original", "original", ("cat", "dog", "cow")) is None
    assert change({}, "original", "int8", ()) is None


def test_confusion_keeps_the_labels_that_moved_most():
    right = np.repeat(np.arange(20), 2)
    answered = right.copy()
    answered[:38:2] += 1  # one answer of each label but the last moves to the next label
    samples = {"labels": right, "original/predicted": right, "int8/predicted": answered}
    moved = change(samples, "original", "int8", [str(i) for i in range(20)])
    assert len(moved.labels) == 12 and moved.left_out == 8 and moved.moved == 19


@pytest.fixture
def told(tmp_path):
    """A result with one changed picture and one changed text."""
    one = {"position": 3, "id": "cat/3.jpg", "label": "cat", "before": "cat", "after": "dog", "score_before": 0.9,
           "score_after": 0.2}  # fmt: skip
    samples = [{**one, "picture": "data:image/jpeg;base64,AAAA"}, {**one, "id": "row 7", "text": "a <b>bold</b> cat"}]
    result = write_result(tmp_path / "r", changed={"int8": {"n": 5, "samples": samples}})
    return print_as("html", result), print_as("markdown", result)


def test_the_samples_that_changed_are_shown(told):
    html, markdown = told
    assert '<img alt="" src="data:image/jpeg;base64,AAAA">' in html and "a &lt;b&gt;bold&lt;/b&gt; cat" in html
    assert "(2 of 5, the largest loss of the right answer first)" in html
    assert 'original: <span class="ok">cat</span>' in html and 'int8: <span class="no">dog</span>' in html
    assert "| row 7: a <b>bold</b> cat | cat | cat | dog | 90.00 % to 20.00 % |" in markdown


def test_the_page_is_made_for_dark_phone_and_paper(told):
    html, _ = told
    for rule in ("prefers-color-scheme: dark", "max-width: 640px", "@media print", "width=device-width"):
        assert rule in html
    assert 'data-name="p50 ms">20.1<' in html  # what a phone shows before the figure
