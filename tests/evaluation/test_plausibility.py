"""Figures that nobody published anything near."""

import pytest

from edgeft.evaluation import plausibility
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.energy_figures import Energy, Idle
from edgeft.profile import load_profile

PI_4 = load_profile("raspberry-pi-4").plausibility  # MobileNetV2 61.9 to 93.5 ms; 1.6 W idle
BUNDLE = {"preprocessing": {"height": 224, "width": 224}, "provenance": {"model": "timm/mobilenetv2_100.ra_in1k"}}


def flags(p50_s, bundle=BUNDLE, energy=None, batch=1):
    variants = {"int8": {"latency": {"p50_s": p50_s, "batch": batch}}}
    energy = energy or Energy(Choice("none"))
    return list(plausibility.flags(PI_4, "raspberry-pi-4", bundle, variants, energy))


@pytest.mark.parametrize("p50_s,found", [(0.0061, True), (0.0063, False), (0.07, False), (0.93, False), (0.94, True)])
def test_ten_times_beyond_what_is_published(p50_s, found):
    assert [flag["code"] for flag in flags(p50_s)] == (["implausible_latency"] if found else [])


def test_the_flag_says_what_is_published():
    (flag,) = flags(0.002)
    assert flag["severity"] == "warning" and flag["variant"] == "int8"
    assert "int8 takes 2 ms; mobilenetv2 is published with 61.9 to 93.5 ms on raspberry-pi-4" in flag["evidence"]


def test_other_models_and_sizes_have_nothing_to_compare_with():
    assert flags(0.002, {**BUNDLE, "provenance": {"model": "timm/mobilenetv3_small"}}) == []
    assert flags(0.002, {**BUNDLE, "preprocessing": {"height": 96, "width": 96}}) == []
    assert flags(0.002, {"preprocessing": {"kind": "text"}}) == []
    assert [flag["code"] for flag in flags(0.002, {**BUNDLE, "provenance": {"model": "google/mobilenet_v2_1.0_224"}})]


class Meter:
    def __init__(self, coverage):
        self.coverage = coverage


@pytest.mark.parametrize(
    "watts,coverage,found", [(1.6, "wall", 0), (0.7, "wall", 1), (9.0, "wall", 1), (9.0, "module", 0)]
)
def test_idle_watts_at_the_wall(watts, coverage, found):
    energy = Energy(Choice("plug", Meter(coverage)), (Idle(0.0, watts, 0.0),))
    assert len(flags(0.07, energy=energy)) == found
