"""Joules of synthetic power traces against closed forms, and clocks brought in line."""

import math

import numpy as np
import pytest

from edgeft.evaluation.meters.world import ReadError
from edgeft.evaluation.trace import Trace, clock_offset_s


def test_a_ramp_is_exact():
    # 2 W rising by 1 W a second: from 1 s to 3 s it gives (3 + 5) / 2 * 2 J = 8 J, mean 4 W, whatever the timestamps
    times = [0.0, 0.4, 1.3, 2.2, 2.9, 4.0]
    trace = Trace(times, [2 + t for t in times])
    assert trace.mean_w((1.0, 3.0)) == pytest.approx(4.0)


def test_a_wave_sampled_at_20_hz_is_within_one_per_cent():
    # 5 + 2 sin(2 pi 0.7 t) W over 30 s; integral in closed form; timestamps jitter by a third of the interval
    rng = np.random.default_rng(0)
    times = np.arange(0, 31, 0.05) + rng.uniform(0, 0.016, 620)
    omega = 2 * math.pi * 0.7
    trace = Trace(times, 5 + 2 * np.sin(omega * times))
    exact = 5 * 30 - 2 / omega * (math.cos(omega * 30.5) - math.cos(omega * 0.5))
    assert 30 * trace.mean_w((0.5, 30.5)) == pytest.approx(exact, rel=1e-3)


def test_uneven_samples_weigh_by_their_time():
    # jtop's "average" is (new + old) // 2, Zeus adds rectangles: ten samples within 0.1 s at 10 W, then 0.9 s at 2 W
    times = [*np.linspace(0, 0.1, 10), 0.1001, 1.0]
    trace = Trace(times, [10.0] * 10 + [2.0, 2.0])
    assert trace.mean_w((0.0, 1.0)) == pytest.approx(2.8, rel=1e-3)
    assert np.mean(trace.watts) > 8  # what the plain mean would claim


def test_what_was_not_sampled_is_an_error():
    trace = Trace([0.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    with pytest.raises(ReadError, match="do not reach"):
        trace.mean_w((1.0, 2.5))
    with pytest.raises(ReadError, match="no samples"):
        Trace([], []).mean_w((0.0, 1.0))
    assert trace.largest_gap_s((0.5, 1.5)) == 1.0
    assert Trace([0.0, 1.0, 5.0, 6.0], [1.0] * 4).largest_gap_s((0.5, 5.5)) == 4.0


IDLE, LOAD, AFTER = (100.0, 160.0), (160.3, 400.0), (400.2, 460.0)
STEPS = [(IDLE, LOAD), (AFTER, LOAD)]


def logged(offset_s: float, idle_w: float = 3.0, load_w: float = 6.0, noise_w: float = 0.1, hz: float = 10) -> Trace:
    """A meter that was on from 80 s to 480 s of our time, and whose clock is `offset_s` ahead."""
    ours = np.arange(80, 480, 1 / hz)
    watts = np.where((ours > LOAD[0]) & (ours < LOAD[1]), load_w, idle_w)
    return Trace(ours + offset_s, watts + noise_w * np.random.default_rng(1).standard_normal(len(ours)))


@pytest.mark.parametrize("offset_s", [0.0, 3.37, -7.5])
def test_the_offset_of_a_clock_is_found_from_the_steps(offset_s):
    # MLPerf's policy scaled to windows of a minute: within 0.2 s
    assert clock_offset_s(logged(offset_s), STEPS) == pytest.approx(offset_s, abs=0.1)


def test_one_step_is_enough():
    assert clock_offset_s(logged(1.5), STEPS[:1]) == pytest.approx(1.5, abs=0.2)


def test_a_log_without_a_step_is_refused():
    with pytest.raises(ReadError, match="shows no step"):
        clock_offset_s(logged(0.0, load_w=3.1, noise_w=0.3), STEPS)


def test_a_clock_that_is_far_off_is_to_be_set():
    with pytest.raises(ReadError, match="does not reach|off by 10 s or more|no step"):
        clock_offset_s(logged(3600.0), STEPS)
    with pytest.raises(ReadError, match="off by 10 s or more|no step"):
        clock_offset_s(logged(14.0), STEPS)
