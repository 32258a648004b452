"""The budget as JUnit XML, read back."""

from xml.etree import ElementTree

import pytest

from edgeft.budget import parse_budget
from edgeft.evaluation import limits
from edgeft.report import junit
from edgeft.report.budget_words import budget_lines
from tests.report.sample import document


def suite(budget):
    content = document()
    lines, winner = limits.check(parse_budget(budget), content)
    content |= {"budget": lines} | ({"winner": winner} if winner else {})
    return ElementTree.fromstring(junit.render(content).encode()).find("testsuite"), lines


def test_one_case_a_limit_and_a_failure_where_it_was_missed():
    found, lines = suite("size<=1KB,accuracy>=-50pt,latency_p50<=0.5x")
    assert (found.get("tests"), found.get("failures")) == ("3", str(sum(not line["passed"] for line in lines)))
    cases = found.findall("testcase")
    assert [case.get("name") for case in cases] == ["size<=1KB", "accuracy>=-50pt", "latency_p50<=0.5x"]
    assert "has" in cases[0].find("failure").get("message") and cases[1].find("failure") is None
    said = cases[0].find("system-out").text.splitlines()
    assert [line.split(":")[0] for line in said] == list(document()["variants"]) and said[0].endswith("missed")


def test_the_winner_is_a_property():
    found, _ = suite("accuracy>=-50pt")
    properties = {one.get("name"): one.get("value") for one in found.find("properties")}
    assert properties["winner"] in document()["variants"] and properties["baseline"] == "original"


def test_what_was_not_measured_is_a_failure():
    found, _ = suite("energy<=1J")
    assert found.find("testcase/failure").get("message") == "energy<=1J (not measured)"


def test_a_winner_among_several_is_to_be_measured_once_more():
    content = document()
    assert budgeted(content, "size<=10MB")[-1] == "winner: int8"
    content["variants"]["int8-ptq"] = content["variants"]["int8"]
    content["comparisons"]["int8-ptq"] = content["comparisons"]["int8"]
    assert budgeted(content, "size<=10MB")[-1] == (
        "winner: int8, chosen among int8, int8-ptq by these same figures, which flatters it a little; before "
        "quoting its speed, measure it again: --variants original,int8 --seed 1"
    )
    assert budgeted(content, "size<=1GB,accuracy>=93.2%")[-1] == "winner: original"


def budgeted(content, budget):
    content["budget"], content["winner"] = limits.check(parse_budget(budget), content)
    return budget_lines(content)


def test_joules_are_told_with_what_they_are_of_wherever_a_limit_is_told():
    content = document()
    for variant, joules in zip(content["variants"].values(), (0.08, 0.05), strict=True):
        variant["energy"] = {"status": "measured", "coverage": "CPU package", "gross_j": joules}
    content["budget"], winner = limits.check(parse_budget("energy<=30mJ"), content)
    found = ElementTree.fromstring(junit.render(content).encode()).find("testsuite")
    missed = "energy<=30mJ (int8 has 50 mJ of CPU package)"
    assert winner is None and found.find("testcase/failure").get("message") == missed
    assert limits.missed_text(content["budget"][0]) == missed
    assert found.find("testcase/system-out").text.splitlines()[0] == "original: 80 mJ of CPU package, missed"
    assert budget_lines(content)[0] == "MISS  energy<=30mJ  int8 has 50 mJ of CPU package"


def test_what_is_not_valid_is_a_failure_with_its_reason():
    content = document()
    flag = {"code": "throttled", "severity": "invalid", "evidence": "it was hot", "affects": "latency"}
    content["validity"] = {"valid": False, "flags": [flag]}
    content["budget"], winner = limits.check(parse_budget("latency_p50<=1s"), content)
    found = ElementTree.fromstring(junit.render(content).encode()).find("testsuite")
    assert winner is None and found.get("failures") == "1"
    assert found.find("testcase/failure").get("message") == "latency_p50<=1s (int8 has 0.0134 s, not valid: it was hot)"
    assert budget_lines(content)[0] == "MISS  latency_p50<=1s  int8 has 0.0134 s, not valid: it was hot"


@pytest.mark.parametrize("name", ["a<b & c", 'q"uote'])
def test_names_are_escaped(name):
    content = document()
    content["data"]["name"] = name
    content["budget"], _ = limits.check(parse_budget("size<=10GB"), content)
    case = ElementTree.fromstring(junit.render(content).encode()).find("testsuite/testcase")
    assert case.get("classname") == f"edgeft.budget.{name}"
