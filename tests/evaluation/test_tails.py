"""Ratios of high percentiles, and the check of the baseline against itself."""

import numpy as np
import pytest

from edgeft.evaluation import aa, run
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.latency import Block, Series
from edgeft.evaluation.presets import PRESETS
from edgeft.evaluation.tails import tail_ratio


def test_the_point_is_the_ratio_of_pooled_percentiles():
    # 100 values 1..100 twice: the plain p90 is sorted[180] = 91; a model twice as fast has 45.5
    blocks = [np.arange(1, 101) * 10] * 2
    found = tail_ratio(blocks, [block // 2 for block in blocks], 0.9, seed=0)
    assert (found.point, found.low, found.high, found.n) == (910 / 455, 2.0, 2.0, 2)


def test_too_few_queries_or_a_single_pair_give_none():
    # MLPerf's rule: p90 wants 64 queries, p99 662
    blocks = [np.arange(1, 32)] * 2
    assert tail_ratio(blocks, blocks, 0.9, seed=0) is None
    assert tail_ratio([np.arange(1, 34)] * 2, [np.arange(1, 34)] * 2, 0.9, seed=0) is not None
    assert tail_ratio([np.arange(1, 331)] * 2, [np.arange(1, 331)] * 2, 0.99, seed=0) is None
    assert tail_ratio([np.arange(1, 1000)], [np.arange(1, 1000)], 0.9, seed=0) is None


def test_pairs_are_drawn_together():
    # Every block of A is exactly twice its partner, whatever the machine did to the pair: no doubt is left.
    rng = np.random.default_rng(0)
    blocks = [rng.integers(1000, 2000, 200) * 2 * k for k in (1, 2, 3, 4)]
    found = tail_ratio(blocks, [block // 2 for block in blocks], 0.9, seed=1)
    assert found.low == found.high == 2.0


def test_coverage_of_the_interval():
    """Equal models with 2 % block noise: 1 lies within the nominal 95 % interval in about 92 of 100 (10 blocks)."""
    hits = 0
    for trial in range(200):
        rng = np.random.default_rng([7, trial])
        a, b = ([rng.gamma(50, 20, 60) * rng.normal(1, 0.02) for _ in range(10)] for _ in range(2))
        found = tail_ratio(a, b, 0.9, seed=trial)
        hits += found.low <= 1 <= found.high
    assert 170 <= hits <= 199


def test_a_grid_of_many_values_is_as_good_as_all_of_them():
    rng = np.random.default_rng(3)
    blocks = [rng.integers(10**6, 2 * 10**6, 20_000) for _ in range(4)]
    found = tail_ratio(blocks, [block * 2 for block in blocks], 0.9, seed=0)
    assert found.point == 0.5 and abs(found.low - 0.5) < 1e-3 and abs(found.high - 0.5) < 1e-3


def series(medians_ms: list[float]) -> Series:
    blocks = [Block(i, 0.0, np.array([round(ms * 1e6)] * 3), np.array([1]), np.array([0]), Snapshot(), Snapshot())
              for i, ms in enumerate(medians_ms)]  # fmt: skip
    return Series(blocks=blocks)


def checked(again: list[float]):
    both = {"original": series([10.0] * 5), aa.name_of("original"): series(again)}
    return aa.check(both, "original")


def test_aa_passes_when_1_is_inside_and_the_interval_narrow():
    found = checked([10.0, 10.02, 9.98, 10.01, 9.99])["aa_check"]
    assert found["passed"] and found["ratio"] == pytest.approx(1.0, abs=1e-4) and found["half_width"] < 0.003
    assert aa.flags({"aa_check": found}) == []


def test_aa_that_is_wide_is_a_warning():
    found = checked([10.0, 11.0, 9.0, 10.5, 9.5])
    assert not found["aa_check"]["passed"] and found["aa_check"]["half_width"] > 0.02
    assert [one["severity"] for one in aa.flags(found)] == ["warning"]


def test_aa_a_little_off_is_a_warning_and_far_off_is_not_valid():
    near, far = checked([9.9, 9.9001, 9.9, 9.9002, 9.9]), checked([9.0, 9.001, 9.0, 9.002, 9.0])
    assert not near["aa_check"]["passed"] and not far["aa_check"]["passed"]
    assert [aa.flags(one)[0]["severity"] for one in (near, far)] == ["warning", "invalid"]


def test_without_the_check_there_is_no_figure():
    assert aa.check({"original": series([10.0] * 5)}, "original") == {} and aa.flags({}) == []


def test_only_full_measures_the_baseline_twice():
    assert [preset.aa_check for preset in PRESETS.values()] == [False, False, True]


def test_eval_measures_the_baseline_against_itself(spec, monkeypatch):
    import dataclasses

    monkeypatch.setitem(PRESETS, "quick", dataclasses.replace(PRESETS["quick"], aa_check=True))
    result = run.evaluate(spec())
    latency = result.document["comparisons"]["int8"]["latency"]
    assert latency["aa_check"]["ratio"] == pytest.approx(1.0, abs=0.9) and "p90" in latency
    assert latency["noise_floor"] == max(0.02, latency["aa_check"]["half_width"])
    assert list(result.document["variants"]) == ["original", "int8"]
    samples = result.samples()
    orders = np.concatenate([samples[f"{name}/query_block"] for name in ("original", "original (A/A)", "int8")])
    assert set(orders) == set(range(12)) and "original (A/A)/predicted" not in samples
    loop = result.document["checks"]["fixed_loop"]
    assert loop["change"] == pytest.approx(loop["after_s"] / loop["before_s"] - 1)
    assert "baseline against itself" in (result.path / "report.md").read_text()


def test_without_the_check_eval_has_no_such_figure(spec):
    assert "aa_check" not in run.evaluate(spec()).document["comparisons"]["int8"]["latency"]
