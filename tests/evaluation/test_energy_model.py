"""A modelled estimate: only on request, labelled everywhere, and never taken for a measurement."""

import pytest

from edgeft.budget import parse_budget
from edgeft.errors import MachineError, UsageError
from edgeft.evaluation import energy_model, limits, run
from edgeft.evaluation.timing import Pace
from edgeft.profile import load_profile
from edgeft.recipe import make_spec
from edgeft.report import print_as
from edgeft.report.sidebyside import energy_ratio
from edgeft.specs import EvalSpec
from tests.evaluation.test_evaluation_parts import DOCUMENT

MISSING = {"status": "not_measured", "reason": "no meter works here", "tried": [{"meter": "rapl", "why_not": "none"}]}


def test_watts_times_seconds():
    # 5 to 7.2 W for 0.2 s a query of 4 examples: 0.25 to 0.36 J each
    model = energy_model.choose("profile", load_profile("raspberry-pi-4"))
    found = energy_model.estimate(model, MISSING, 0.2, Pace(batch=4))
    assert found["status"] == "modelled" and found["reason"] == "no meter works here"
    assert found["gross_range_j"] == pytest.approx([0.25, 0.36]) and found["gross_j"] == pytest.approx(0.305)
    assert found["model"]["watts"] == [5.0, 7.2] and "raspberry-pi-4" in found["model"]["watts_source"]
    assert found["model"]["query_s"] == 0.2 and "net_j" not in found and "mean_w" not in found


def test_what_was_measured_stays():
    measured = {"status": "measured", "gross_j": 1.0}
    model = energy_model.choose("7.5", load_profile("generic"))
    assert energy_model.estimate(model, measured, 0.2, Pace()) == measured
    assert energy_model.estimate(None, MISSING, 0.2, Pace()) == MISSING


def test_a_profile_without_published_watts_is_refused():
    with pytest.raises(UsageError, match="generic has no published watts.*--energy-model WATTS"):
        energy_model.choose("profile", load_profile("generic"))


@pytest.mark.parametrize("text", ["0", "7-5", "watts", "5W", "-3", "5--6"])
def test_watts_are_read(text):
    with pytest.raises(UsageError, match="expected watts as in 7.5 or 5-7.2"):
        make_spec(EvalSpec, {"bundle": "b", "energy_model": text})
    assert make_spec(EvalSpec, {"bundle": "b", "energy_model": "5-7.2"}).energy_model == "5-7.2"


def test_an_evaluation_labels_it_everywhere(spec):
    result = run.evaluate(spec(energy_model="4-6"))
    document = result.document
    for name, variant in document["variants"].items():
        part, times_ns = variant["energy"], result.samples()[f"{name}/query_ns"]
        assert part["status"] == "modelled" and part["reason"] == "not asked for (--meter none)"
        # 5 W for the median over blocks of their means, which lies among the queries however busy the machine is
        assert part["gross_j"] == pytest.approx(5 * part["model"]["query_s"])
        assert times_ns.min() <= part["model"]["query_s"] * 1e9 <= times_ns.max()
    # its ratio would be that of latency: no comparison, no claim
    assert "energy" not in document["comparisons"]["int8"]
    assert not any("energy" in claim["text"] for claim in document["claims"])
    (flag,) = [flag for flag in document["validity"]["flags"] if flag["code"] == "modelled"]
    assert "modelled, not measured: 4 to 6 W (given with --energy-model)" in flag["evidence"]
    text = " ".join(print_as("text", result).split())
    assert "modelled as 4 to 6 W" in text and text.count("modelled, not measured") >= 3
    assert "(modelled" in print_as("markdown", result) and "(modelled, as the watts given)" in print_as("html", result)


def test_without_the_option_nothing_is_modelled(spec):
    document = run.evaluate(spec()).document
    assert {variant["energy"]["status"] for variant in document["variants"].values()} == {"not_measured"}


def test_it_keeps_no_budget(spec):
    with pytest.raises(MachineError, match="energy cannot be measured here"):
        run.evaluate(spec(energy_model="5", budget="energy<=1000J"))
    modelled = {"status": "modelled", "gross_j": 0.001, "coverage": "wall"}
    variants = {name: {**one, "energy": modelled} for name, one in DOCUMENT["variants"].items()}
    document = {**DOCUMENT, "variants": variants}
    lines, winner = limits.check(parse_budget("energy<=1J"), document)
    assert winner is None and not lines[0]["passed"] and "value" not in lines[0]
    # nor does it choose the winner: that is the fastest then
    assert limits.check(parse_budget("size<=20MB"), document)[1] == "ptq"


def test_two_modelled_results_have_no_ratio():
    modelled = {"variants": {"int8": {"energy": {"status": "modelled", "gross_j": 0.1, "coverage": "wall"}}}}
    assert energy_ratio(modelled, modelled, "int8") == "modelled, not measured"
