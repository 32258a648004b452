"""Benchmarks read what `edgeft eval` writes."""

import pytest

from benchmarks.compression import better, figures
from edgeft.evaluation import run


def test_a_comparison_reads_a_result(spec):
    found = figures(run.evaluate(spec()).document["variants"]["int8"])
    assert found["accuracy"] == (100.0, "%") and found["integer kernels"] == (1, "")
    assert found["latency p50"][0] > 0 and found["file"][0] == pytest.approx(1178e-6, rel=0.2)


@pytest.mark.parametrize(
    "accuracy, seconds, found", [(0.91, 0.9, ["nncf"]), (0.91, 1.1, []), (0.89, 0.9, []), (0.90, 0.9, [])]
)
def test_a_peer_is_better_when_it_is_more_accurate_and_faster(accuracy, seconds, found):
    def variant(value, p50_s):
        latency = {"blocks": [{"p50_s": p50_s}] * 3}
        return {"accuracy": {"value": value}, "latency": latency, "matrix_kernels": {"integer": 1}, "size_bytes": 1}

    variants = {"float32": variant(0.95, 0.5), "int8": variant(0.90, 1.0), "nncf": variant(accuracy, seconds)}
    assert better({"variants": variants}) == found
