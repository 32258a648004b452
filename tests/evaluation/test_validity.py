"""Flags and claims: each from made-up blocks of which the answer is plain."""

from dataclasses import replace

import numpy as np
import pytest

from edgeft.evaluation import claims, validity
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Series
from edgeft.evaluation.presets import PRESETS
from edgeft.evaluation.probe import Probe
from edgeft.evaluation.session import Settings
from edgeft.evaluation.stats import Ratio

STANDARD = PRESETS["standard"]


def series(medians_ms, shots=None, n=200):
    shots = shots or [Snapshot()] * len(medians_ms)
    blocks = [
        Block(i, float(i), np.full(n, int(ms * 1e6)), np.zeros(0, np.int64), np.zeros(0, np.int64), shot, shot)
        for i, (ms, shot) in enumerate(zip(medians_ms, shots, strict=True))
    ]
    return Series(warm_runs=10, blocks=blocks)


def codes(flags):
    return {flag["code"]: flag["severity"] for flag in flags}


def test_clocks_that_fall_in_the_middle_make_the_run_invalid():
    # M02
    shots = [Snapshot(mhz=2400.0)] * 4 + [Snapshot(mhz=1500.0)] * 4
    found = list(validity.machine_flags({"original": series([1.0] * 8, shots)}, (1.0, 1.0)))
    assert codes(found) == {"clock_dropped": "invalid"}
    assert "2400 to 1500 MHz" in found[0]["evidence"]


def test_steady_clocks_raise_nothing():
    shots = [Snapshot(mhz=2400.0 + i) for i in range(8)]
    assert list(validity.machine_flags({"original": series([1.0] * 8, shots)}, (1.0, 1.01))) == []


def test_throttle_events_during_the_run():
    shots = [Snapshot(throttle_count=5 + (i > 2)) for i in range(4)]
    assert codes(validity.machine_flags({"a": series([1.0] * 4, shots)}, (1.0, 1.0))) == {"throttled": "invalid"}
    before = [Snapshot(throttle_count=5)] * 4  # events of earlier days do not count
    assert codes(validity.machine_flags({"a": series([1.0] * 4, before)}, (1.0, 1.0))) == {}


@pytest.mark.parametrize(
    "bits,expected", [(0x50005, {"under_voltage", "throttled"}), (0x50000, set()), (0x1, {"under_voltage"})]
)
def test_raspberry_pi_bits(bits, expected):
    # 0x50005: under-voltage and throttled, now and since boot; 0x50000: only since boot.
    shots = [Snapshot(pi_throttled=bits)] * 4
    assert set(codes(validity.machine_flags({"a": series([1.0] * 4, shots)}, (1.0, 1.0)))) == expected


@pytest.mark.parametrize(
    "looks,expected",
    [
        ((0x0, 0x0, 0x10000, 0x10000), {"under_voltage": "all"}),  # it came and went between two looks
        ((0x10000, 0x10000, 0x50000, 0x50000), {"throttled": "latency"}),  # 0x40000 is new
        ((0x50000, 0x50000, 0x50000, 0x50000), {}),
        ((0x10000, 0x0, 0x10000, 0x0), {"under_voltage": "all"}),  # cleared by the driver, and set once more
        ((None, 0x20000, None, 0x20000), {}),
    ],
)
def test_what_happened_between_two_looks_at_a_raspberry_pi(looks, expected):
    found = list(validity.throttling([Snapshot(pi_throttled=bits) for bits in looks]))
    assert {one["code"]: one["affects"] for one in found} == expected


def test_bits_of_an_earlier_sitting_do_not_count():
    one = series([1.0] * 4, [Snapshot(pi_throttled=bits) for bits in (0, 0, 0x10000, 0x10000)])
    one.blocks[2:] = [replace(block, sitting=1) for block in one.blocks[2:]]
    assert list(validity.machine_flags({"a": one}, (1.0, 1.0))) == []


@pytest.mark.parametrize(
    "before,after,expected,evidence",
    [
        ({"governors": ("ondemand",)}, {"governors": ("performance",)}, {"governor_changed": "invalid"},
         "the CPU governor changed while measuring: ondemand, then performance"),
        ({"on_battery": False}, {"on_battery": True}, {"power_changed": "invalid"}, "mains, then battery"),
        ({"charging": True}, {"charging": False}, {"charging_changed": "warning"}, "charging, then not charging"),
        ({"on_battery": True, "governors": ("a", "b")}, {"on_battery": True, "governors": ("a", "b")}, {}, ""),
        ({"on_battery": None}, {"on_battery": True}, {}, ""),  # what is not known did not change
    ],
)  # fmt: skip
def test_an_environment_that_changed_between_the_blocks(before, after, expected, evidence):
    shots = [Snapshot(**before)] * 2 + [Snapshot(**after)] * 2
    found = list(validity.machine_flags({"original": series([1.0] * 4, shots)}, (1.0, 1.0)))
    assert codes(found) == expected and all(evidence in one["evidence"] for one in found)


def test_a_clock_loop_that_changed():
    assert codes(validity.machine_flags({"a": series([1.0] * 4)}, (1.0, 1.06))) == {"clock": "warning"}


def test_noise_and_too_few_queries():
    found = codes(validity.series_flags("a", series([1.0, 1.2, 0.9, 1.3], n=10), STANDARD))
    assert found == {"noisy": "warning", "few_queries": "warning"}
    assert codes(validity.series_flags("a", series([1.0, 1.01, 1.0, 1.0], n=300), STANDARD)) == {}


def test_a_ratio_that_walks_with_time():
    walking = [1.0, 1.02, 1.04, 1.06, 1.08, 1.1]
    assert codes(validity.drift_flag("int8", walking, [1.0] * 6)) == {"drift": "warning"}
    assert codes(validity.drift_flag("int8", walking, walking)) == {}


def test_conditions_before_the_run():
    start = Snapshot(load_1min=1.0, governors=("ondemand",), on_battery=True)
    found = codes(validity.before_flags(start, 4, Settings(), STANDARD))
    assert found == {"load": "warning", "governor": "note", "battery": "warning"}
    assert codes(validity.before_flags(Snapshot(load_1min=0.7), 4, Settings(), STANDARD)) == {}
    short = Snapshot(available_bytes=150_000_000)
    (found,) = validity.before_flags(short, 4, Settings(), STANDARD, 80_000_000)
    assert found["code"] == "memory" and "150 MB of memory are free" in found["evidence"]
    assert codes(validity.before_flags(short, 4, Settings(), STANDARD, 70_000_000)) == {}
    assert "graph_level" in codes(validity.before_flags(Snapshot(), 4, Settings(graph_level="basic"), STANDARD))


def test_nodes_that_ran_elsewhere_are_counted():
    # R06
    asked = Settings(provider="QNNExecutionProvider")
    none = Probe(0, 0, None, None, {"CPUExecutionProvider": 9})
    some = Probe(0, 0, None, None, {"CPUExecutionProvider": 2, "QNNExecutionProvider": 7})
    assert codes(validity.provider_flags("int8", none, asked)) == {"provider": "invalid"}
    (found,) = validity.provider_flags("int8", some, asked)
    assert found["evidence"] == "int8: 2 of 9 nodes did not run on QNNExecutionProvider (2 on CPUExecutionProvider)"
    full = Probe(0, 0, None, None, {"QNNExecutionProvider": 9})
    assert codes(validity.provider_flags("int8", full, asked)) == {}


def test_int8_slower_than_float_is_said_with_what_stayed_float():
    # R02
    probe = Probe(0, 0, None, None, {}, {"QLinearConv": 3, "FusedConv": 2, "MatMul": 1})
    (found,) = validity.integer_flags("int8", probe, "u8s8", "slower")
    assert found["code"] == "slower" and "2 FusedConv, 1 MatMul" in found["evidence"]
    assert list(validity.integer_flags("int8", probe, "u8s8", "faster")) == []
    assert list(validity.integer_flags("float32", probe, "float32", "slower")) == []


def test_texts_cut_are_reported():
    # D26
    (found,) = validity.sample_flags({}, 100, 3, None)
    assert found["evidence"] == "3 of 100 texts were cut to the tuned length"


@pytest.mark.parametrize(
    "ratio,verdict",
    [
        (Ratio(2.0, 1.9, 2.1, 10), "faster"),
        (Ratio(1.03, 1.01, 1.05, 10), "undecided"),  # excludes 1, within the noise floor
        (Ratio(0.5, 0.45, 0.55, 10), "slower"),
        (Ratio(1.0, 0.99, 1.01, 10), "same"),
        (Ratio(1.5, None, None, 1), "undecided"),
    ],
)
def test_speed_verdicts(ratio, verdict):
    assert claims.speed_verdict(ratio) == verdict


@pytest.mark.parametrize(
    "half_width,ratio,verdict",
    [
        # intervals that are beyond 2 % and not beyond the 5 % that two runs of one model are apart here
        (0.05, Ratio(1.06, 1.03, 1.09, 10), "undecided"),
        (0.05, Ratio(0.95, 0.93, 0.97, 10), "undecided"),
        (0.05, Ratio(1.0, 0.96, 1.04, 10), "same"),
        (0.05, Ratio(1.1, 1.06, 1.14, 10), "faster"),
        (0.004, Ratio(1.03, 1.01, 1.05, 10), "undecided"),  # a quiet machine keeps the usual 2 %
    ],
)
def test_what_one_model_is_apart_from_itself_is_noise(half_width, ratio, verdict):
    assert claims.speed_verdict(ratio, claims.noise_floor(half_width)) == verdict


def test_as_fast_as_is_said_within_the_noise_of_the_machine():
    one = comparison("same", 0.97, 1.03)
    one["latency"]["noise_floor"] = 0.034
    assert claims.claims({"int8": one}, "original", [])[1]["text"] == "int8 is as fast as original within 3.4%"


def comparison(verdict="faster", low=1.9178, high=2.2):
    accuracy = {"verdict": "not worse", "margin": 0.0093, "diff": -0.001, "ci95": [-0.004, 0.002], "n": 5000}
    return {"accuracy": accuracy, "latency": {"speedup": 2.05, "ci95": [low, high], "verdict": verdict, "blocks": 10}}


def test_claims_say_the_bound_and_not_the_estimate():
    accuracy, speed = claims.claims({"int8": comparison()}, "original", [])
    assert speed["text"] == "int8 is at least 1.91x as fast as original (estimate 2.05x)"
    assert accuracy["text"] == "int8 is not worse than original by more than 0.93 points"
    assert accuracy["valid"] and speed["valid"]


def test_a_slower_variant_is_bounded_from_above():
    _, speed = claims.claims({"int8": comparison("slower", 0.70, 0.7412)}, "original", [])
    assert speed["text"].startswith("int8 is slower than original: at most 0.75x")


def test_a_claim_whose_condition_failed_is_not_valid():
    throttled = validity.flag("throttled", "invalid", "hot")
    accuracy, speed = claims.claims({"int8": comparison()}, "original", [throttled])
    assert accuracy["valid"] and not speed["valid"]
    # a flag about one variant voids its claims; one about the baseline voids all
    both = {"int8": comparison(), "int8-ptq": comparison()}
    found = claims.claims(both, "original", [{**throttled, "variant": "int8"}])
    assert [claim["valid"] for claim in found] == [True, False, True, True]
    found = claims.claims(both, "original", [{**throttled, "variant": "original"}])
    assert [claim["valid"] for claim in found] == [True, False, True, False]
    everything = validity.flag("under_voltage", "invalid", "weak supply", "all")
    assert not any(claim["valid"] for claim in claims.claims({"int8": comparison()}, "original", [everything]))
