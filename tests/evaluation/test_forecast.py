"""How long it takes: every figure can be worked out by hand."""

import pytest

from edgeft.evaluation import energy_plan, forecast
from edgeft.evaluation.energy import Choice
from edgeft.evaluation.forecast import Costs
from edgeft.evaluation.presets import PRESETS, Preset
from edgeft.evaluation.timing import Pace
from tests.evaluation.meters.steady_meter import TenWatts

# 4 blocks of at least 2 s and 50 queries, at most 20 s
TINY = Preset("tiny", "tiny", 4, 2.0, 8.0, 200, 80.0, 0.0, 1, (0.9,))


@pytest.mark.parametrize(
    "seconds,text",
    [
        (0.2, "1 s"), (3, "3 s"), (44, "45 s"), (92, "90 s"), (100, "2 min"), (875, "15 min"), (5370, "1 h 30 min"),
        (7205, "2 h"),
    ],  # fmt: skip
)
def test_times_are_said_as_a_person_plans(seconds, text):
    assert forecast.words(seconds) == text


def costs(query_s, **more):
    return Costs({"a": query_s}, {"a": more.pop("load_s", 0.0)}, **more)


@pytest.mark.parametrize(
    "query_s,expected",
    [
        # settling 0.2 s, the block 2 s, end to end 0.3 s, four times; warm-up 3 s
        (0.001, 4 * 2.5 + 3.0),
        # 3 x 0.1 s of settling, 50 queries in 5 s, 8 end to end in 0.8 s; warm-up still 3 s
        (0.1, 4 * (0.3 + 5.0 + 0.8) + 3.0),
        # 3 s, the cap of 20 s, and its share of 3 s; ten queries of warm-up
        (1.0, 4 * (3.0 + 20.0 + 3.0) + 10.0),
    ],
)
def test_the_minimum_of_queries_counts(query_s, expected):
    assert forecast.latency_s(TINY, Pace(), ["a"], costs(query_s)) == pytest.approx(expected)


def test_pace_batch_encoding_and_opening_count():
    # a query every 100 ms: 50 of them in 5 s, 8 end to end in 0.8 s
    assert forecast.latency_s(TINY, Pace(0.1), ["a"], costs(0.001)) == pytest.approx(4 * (0.2 + 5.0 + 0.8) + 3.0)
    # 100 examples of 1 ms a query, which have no end to end: settling 0.3 s, 50 queries in 5 s
    assert forecast.latency_s(TINY, Pace(batch=100), ["a"], costs(0.001)) == pytest.approx(4 * 5.3 + 3.0)
    # 10 examples of 50 ms for each of 4 rounds; opened once, or for each block; 8 end to end of 51 ms
    once = costs(0.001, encode_s=0.05, window=10, load_s=0.5)
    assert forecast.latency_s(TINY, Pace(), ["a"], once) == pytest.approx(4 * (0.2 + 2.0 + 0.408) + 3.0 + 2.0 + 0.5)
    anew = costs(0.001, encode_s=0.05, window=10, load_s=0.5, reopened=True)
    assert forecast.latency_s(TINY, Pace(), ["a"], anew) == pytest.approx(4 * (0.2 + 2.0 + 0.408) + 3.0 + 2.0 + 2.0)


def test_accuracy_encodes_each_example_once_where_all_are_open():
    both = Costs({"a": 0.01, "b": 0.02}, {"a": 0.0, "b": 0.0}, encode_s=0.1)
    assert forecast.accuracy_s(["a", "b"], 100, both) == pytest.approx(10.0 + 3.0)
    one = Costs(both.query_s, both.load_s, encode_s=0.1, reopened=True)
    assert forecast.accuracy_s(["a", "b"], 100, one) == pytest.approx(20.0 + 3.0)
    assert forecast.accuracy_s([], 100, both) == 0.0


def test_before_a_query_was_run_a_range_is_said():
    # two variants of 10 blocks: 0.2 + 6 + 0.9 s each, and 3 s of warm-up; with 1,024 queries in 600 s: settling 1.8 s,
    # 60 s, end to end 4.7 to 9 s, and 5.9 s of warm-up
    assert forecast.latency_range(PRESETS["standard"], 2) == "about 2 min, 22 min with slow models"
    assert "e+" not in forecast.latency_range(PRESETS["full"], 12)


def test_one_total():
    parts = {"accuracy": 61.0, "latency": 240.0, "energy": 780.0}
    expected = "time      about 18 min: accuracy 60 s, latency 4 min, energy 13 min; up to 10 min more to cool"
    assert forecast.total(parts, 600.0) == expected
    assert forecast.total({"accuracy": 0.0, "latency": 30.0}, 0.0) == "time      about 30 s: latency 30 s"
    assert forecast.total({"accuracy": 0.0}, 0.0) == ""


def test_the_energy_pass_says_whole_minutes():
    # 2 x 10 x 30.3 s and twice 60 s of idle: 726 s
    said = energy_plan.describe(Choice("ten-watts", TenWatts(None, "")), PRESETS["standard"], 2)
    assert said.endswith("about 12 min")
