"""The latency pass with a fake clock: every figure can be worked out by hand."""

import numpy as np
import pytest

from edgeft.errors import DataError
from edgeft.evaluation import latency, schedule, stats
from edgeft.evaluation.presets import PRESETS, Preset
from tests.evaluation.fakes import FakeClock, FakeModel, shelf_of, windows_of

TINY = Preset("tiny", "tiny", 4, 1.0, 4.0, 40, 40.0, 0.0, 1, (0.9,))


def whole_query(clock):
    def query(model, position):
        clock.now_ns += 30_000_000

    return query


AT_ONCE = latency.Pace()


def measure(models, clock, preset=TINY, pace=AT_ONCE, values=(1.0, 2.0, 3.0), capacity=None):
    shelf = shelf_of(models, capacity)
    return latency.measure(shelf, windows_of(values), whole_query(clock), preset, pace, 0, clock.tools())


def test_two_variants_run_abba_baab():
    order = schedule.rounds(["a", "b"], 8, seed=0)
    first, second = order[0]
    assert order == [(first, second), (second, first), (second, first), (first, second)] * 2


def test_three_variants_turn_round_every_second_round():
    order = schedule.rounds(["a", "b", "c"], 3, seed=0)
    assert order[1] == order[0][::-1] and order[2] == order[0]
    assert set(order[0]) == {"a", "b", "c"}


def test_the_seed_decides_who_is_first():
    firsts = {schedule.rounds(["a", "b"], 1, seed)[0][0] for seed in range(20)}
    assert firsts == {"a", "b"}


@pytest.mark.parametrize(
    "name,runs,seconds,cap", [("quick", 26, 2, 12), ("standard", 103, 6, 60), ("full", 52, 30, 90)]
)
def test_block_rule_of_the_presets(name, runs, seconds, cap):
    # quick: 128 queries in 5 blocks; standard: 1,024 in 10, 60 s floor, 600 s cap; full: 20 blocks of 30 s
    assert schedule.block_rule(PRESETS[name]) == schedule.BlockRule(runs, seconds, cap)


def test_figures_are_those_of_the_clock():
    clock = FakeClock()
    models = {"original": FakeModel(clock, lambda k: 0.02), "int8": FakeModel(clock, lambda k: 0.01)}
    series = measure(models, clock)
    # blocks of 1 s and at least 10 runs: 50 runs of 20 ms, 100 runs of 10 ms
    assert [len(block.queries_ns) for block in series["original"].blocks] == [50] * 4
    assert [len(block.queries_ns) for block in series["int8"].blocks] == [100] * 4
    assert series["int8"].block_p50_s() == [0.01] * 4
    assert set(series["int8"].end_to_end_ns()) == {30_000_000}
    ratio = stats.paired_ratio(series["original"].block_p50_s(), series["int8"].block_p50_s())
    assert ratio.point == pytest.approx(2.0) and ratio.low == pytest.approx(2.0)


def test_first_and_warm_up_runs_are_not_counted():
    # M01: the first 8 runs take 100 times as long; none of them is among the timed ones.
    clock = FakeClock()
    series = measure({"original": FakeModel(clock, lambda k: 1.0 if k < 8 else 0.01)}, clock)
    assert series["original"].queries_ns().max() == 10_000_000
    assert series["original"].warm_runs > 8


def test_warm_up_goes_on_until_two_seconds_agree():
    # 10 ms falling to 5 ms over the first 1,000 runs, then steady.
    clock = FakeClock()
    model = FakeModel(clock, lambda k: 0.01 - 0.005 * min(k, 1000) / 1000)
    series = measure({"original": model}, clock)["original"]
    assert series.warm_stable and series.warm_runs > 1000
    assert series.queries_ns().max() == 5_000_000


def test_warm_up_is_capped_and_says_so():
    clock = FakeClock()
    series = measure({"original": FakeModel(clock, lambda k: 0.5 + 0.05 * k)}, clock)["original"]
    assert not series.warm_stable and 30 <= series.warm_s < 60


def test_a_slow_board_stops_at_the_cap():
    # 7 s a query: 4 blocks share a cap of 40 s, so a block ends after its second query.
    clock = FakeClock()
    series = measure({"original": FakeModel(clock, lambda k: 7.0)}, clock)["original"]
    assert [len(block.queries_ns) for block in series.blocks] == [2] * 4


def test_drift_cancels_between_alternating_variants():
    # M02: the board slows down by 30 % over the run; both variants are equally fast at any moment.
    clock = FakeClock()
    speed = lambda k: 0.01 * (1 + 0.3 * clock.now_ns / 20e9)  # noqa: E731
    series = measure({"original": FakeModel(clock, speed), "int8": FakeModel(clock, speed)}, clock)
    ratio = stats.paired_ratio(series["original"].block_p50_s(), series["int8"].block_p50_s())
    assert ratio.low < 1 < ratio.high
    assert ratio.point == pytest.approx(1.0, abs=0.005)
    in_turn = series["original"].block_p50_s()
    assert in_turn[-1] / in_turn[0] > 1.1


def test_all_variants_see_the_same_examples_in_the_same_order():
    clock = FakeClock()
    models = {"original": FakeModel(clock, lambda k: 0.01), "int8": FakeModel(clock, lambda k: 0.01)}
    series = measure(models, clock, values=(1.0, 2.0, 3.0))
    a, b = series["original"].blocks[2], series["int8"].blocks[2]
    assert np.array_equal(a.positions, b.positions) and len(a.positions) == 3
    assert set(models["int8"].seen) == {1.0, 2.0, 3.0}
    assert models["original"].seen[-100:] == models["int8"].seen[-100:]


def test_paced_queries_start_on_the_beat_and_sleeping_is_not_latency():
    clock = FakeClock()
    model = FakeModel(clock, lambda k: 0.01)
    series = measure({"original": model}, clock, pace=latency.Pace(period_s=0.1))["original"]
    assert series.queries_ns().max() == 10_000_000
    # 10 runs of 0.1 s make a block of 1 s; after the first each waits 90 ms.
    assert [len(block.queries_ns) for block in series.blocks] == [11] * 4
    assert clock.slept_s[0] == pytest.approx(0.09)


def test_end_to_end_keeps_the_pace_and_is_left_out_offline():
    clock, begun = FakeClock(), []

    def query(model, position):
        begun.append(clock.now_ns)
        clock.now_ns += 30_000_000

    def block(pace):
        begun.clear()
        shelf = shelf_of({"original": FakeModel(clock, lambda k: 0.01)})
        return latency.measure(shelf, windows_of([1.0]), query, TINY, pace, 0, clock.tools())["original"].blocks[-1]

    paced = block(latency.Pace(period_s=0.1))
    assert set(np.diff(begun[-8:])) == {100_000_000} and set(paced.end_to_end_ns) == {30_000_000}
    assert len(block(latency.Pace(batch=4)).end_to_end_ns) == 0 and begun == []


def test_one_model_at_a_time_gives_the_same_figures():
    clock = FakeClock()
    opened = []

    def models(name):
        opened.append(name)
        return FakeModel(clock, lambda k: {"original": 0.02, "int8": 0.01}[name])

    shelf = latency.Shelf(models, ["original", "int8"], 1)
    series = latency.measure(shelf, windows_of([1.0]), whole_query(clock), TINY, latency.Pace(), 0, clock.tools())
    assert series["int8"].block_p50_s() == [0.01] * 4
    assert len(opened) > 4


def test_offline_stacks_examples():
    clock = FakeClock()
    model = FakeModel(clock, lambda k: 0.01)
    feeds = latency.batches(model, "original", next(windows_of([1.0, 2.0, 3.0])), 4)
    assert len(feeds) == 1
    assert feeds[0]["pixel_values"].ravel().tolist() == [1.0, 2.0, 3.0, 1.0]


def test_no_readable_example_is_one_error():
    with pytest.raises(DataError, match="not one held-out example"):
        latency.next_window(iter(()))
