"""From meters to windows: counters, the sampling process, foreign logs."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

from edgeft.evaluation.meters.command import Command
from edgeft.evaluation.meters.jetson import Ina3221
from edgeft.evaluation.meters.rapl import Rapl
from edgeft.evaluation.meters.sampler import Sampler, sample
from edgeft.evaluation.meters.world import ReadError, World
from edgeft.evaluation.recorders import (
    CounterRecorder,
    Edge,
    LogRecorder,
    SampledRecorder,
    recorder_for,
)
from tests.evaluation.meters.meter_fakes import world, write
from tests.evaluation.meters.test_jetson import NEW, ORIN_NANO


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> int:
        return round(self.s * 1e9)


@dataclass
class Counting:
    """Joules as they are set; "gone" raises."""

    value: float | str = 0.0
    name: str = "counting"
    coverage: str = "CPU package"
    source: str = "a test"
    resolution: str = "1 mJ"
    min_window_s: float = 0.0
    lsb_j: float = 1e-3
    keep_alive_s: float = 60.0
    wraps: int = 0

    def available(self):
        return None

    def joules(self) -> float:
        if isinstance(self.value, str):
            raise ReadError(self.value)
        return self.value


def test_a_counter_gives_the_joules_between_edges():
    clock, meter = Clock(), Counting(5.0)
    recorder = CounterRecorder(meter, clock)
    recorder.start()
    start = recorder.edge()
    clock.s, meter.value = 110.0, 45.0
    window = recorder.window(start, recorder.edge())
    recorder.stop()
    assert (window.joules, window.s, window.watts) == (40.0, 10.0, 4.0)
    assert window.steps == pytest.approx(40_000)


def test_a_counter_that_dies_gives_no_figure_and_says_why():
    meter = Counting(5.0)
    recorder = CounterRecorder(meter, Clock())
    recorder.start()
    start = recorder.edge()
    meter.value = "Input/output error"
    end = recorder.edge()
    recorder.stop()
    assert recorder.failure() == "Input/output error"
    with pytest.raises(ReadError, match="Input/output error"):
        recorder.window(start, end)


def test_the_keep_alive_reads_between_edges(tmp_path):
    # a counter that wraps once a second and is read only at edges 3 s apart would lose two wraps
    meter = Counting(0.0, keep_alive_s=1.0)
    reads = []
    meter.joules = lambda: reads.append(1) or 0.0
    recorder = CounterRecorder(meter, Clock())
    recorder.start()
    end = time.monotonic() + 10
    while len(reads) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    recorder.stop()
    assert len(reads) >= 2


def test_every_kind_of_meter_gets_its_recorder(tmp_path):
    clock = Clock()
    assert isinstance(recorder_for(Rapl(world(tmp_path)), "rapl", clock), CounterRecorder)
    assert isinstance(recorder_for(Ina3221(world(tmp_path)), "ina3221", clock), SampledRecorder)


class Recorded:
    """Stands for a sampling process whose samples are known."""

    def __init__(self, times, watts, reason=None) -> None:
        self.pair, self.reason = (list(times), list(watts)), reason

    def start(self) -> None: ...

    def failure(self):
        return self.reason

    def stop(self, beyond_s=0.0):
        return self.pair


def test_a_sampled_window_is_trimmed_and_spans_its_whole_length(tmp_path):
    # 2 W up to 100 s, 6 W after; the sensor's first sample of the load still shows idle
    times = np.arange(90, 131, 0.05)
    watts = np.where(times < 100.06, 2.0, 6.0)
    recorder = SampledRecorder(Ina3221(world(tmp_path)), Recorded(times, watts), Clock())
    recorder.stop()
    window = recorder.window(Edge(100.0), Edge(130.0))
    assert window.joules == pytest.approx(180.0)
    assert window.samples == pytest.approx(30 * 20 - 4, abs=2)
    assert recorder.window(Edge(100.0), Edge(130.0), trim=False).joules < 180.0


def test_a_hole_in_the_samples_spoils_the_window_it_lies_in(tmp_path):
    times = np.concatenate([np.arange(0, 40, 0.05), np.arange(45, 100, 0.05)])
    recorder = SampledRecorder(Ina3221(world(tmp_path)), Recorded(times, 4.0 + 0 * times, "gone"), Clock())
    recorder.stop()
    assert recorder.failure() == "gone"
    assert recorder.window(Edge(1.0), Edge(31.0)).watts == pytest.approx(4.0)
    with pytest.raises(ReadError, match="no sample came for 5"):
        recorder.window(Edge(30.0), Edge(60.0))
    with pytest.raises(ReadError, match="do not reach"):
        recorder.window(Edge(90.0), Edge(120.0))


@dataclass
class Logged:
    """A log whose clock is 2.5 s ahead; 3 W, and 6 W from 160 to 220 s of ours."""

    min_window_s: float = 0.0

    def trace(self):
        ours = np.arange(90, 300, 0.1)
        return list(1_700_000_000.0 + ours + 2.5), list(np.where((ours > 160) & (ours < 220), 6.0, 3.0))


def test_a_foreign_log_is_brought_in_line():
    clock = Clock()
    recorder = LogRecorder(Logged(), clock, unix_s=lambda: 1_700_000_000.0 + clock.s, sleep=lambda s: None)
    recorder.start()
    clock.s = 290.0
    recorder.stop()
    offset = recorder.align([((100.0, 160.0), (160.0, 220.0)), ((220.1, 280.0), (160.0, 220.0))])
    assert offset == pytest.approx(2.5, abs=0.1)
    window = recorder.window(Edge(160.0), Edge(220.0))
    assert window.joules == pytest.approx(360.0, rel=0.01)


def test_the_last_lines_of_a_log_are_waited_for():
    # its clock is ahead, so its last time stamp says nothing about how far it has come
    clock, slept = Clock(), []

    class Late(Logged):
        def trace(self):
            times, watts = super().trace()
            return (times, watts) if len(slept) >= 3 else (times[:1900], watts[:1900])

    recorder = LogRecorder(Late(), clock, unix_s=lambda: 1_700_000_000.0 + clock.s, sleep=slept.append)
    recorder.start()
    clock.s = 281.0
    recorder.stop()
    assert len(slept) == 3 and recorder.trace().times_s[-1] > 281.0 + 2.5


def test_the_sampling_process_reads_at_the_lowest_priority(tmp_path):
    sampler = Sampler("ina3221", write(tmp_path, ORIN_NANO))
    sampler.start()
    begin = time.perf_counter()
    if sys.platform == "linux":
        assert os.getpriority(os.PRIO_PROCESS, sampler._process.pid) == 19
    end = time.monotonic() + 20
    while len(sampler.samples()[0]) < 8 and time.monotonic() < end:
        time.sleep(0.05)
    assert sampler.failure() is None
    times, watts = sampler.stop()
    assert len(times) >= 8 and watts == [pytest.approx(5.032 * 1.136)] * len(watts)
    assert times == sorted(times) and abs(times[0] - begin) < 30  # our clock


def test_the_last_window_is_covered_to_its_end(tmp_path):
    # a command is sampled twice a second: without waiting, the last edge lies beyond the last sample
    meter = Command(World(), "echo 5.0")
    recorder = recorder_for(meter, "command:echo 5.0", time.perf_counter_ns)
    recorder.start()
    start = recorder.edge()
    time.sleep(0.2)
    end = recorder.edge()
    recorder.stop()
    assert recorder.window(start, end, trim=False).watts == pytest.approx(5.0)


def test_a_sampling_process_that_gets_no_sample_says_why(tmp_path):
    sampler = Sampler("ina3221", write(tmp_path, {**ORIN_NANO, f"{NEW}/curr1_input": "<unreadable>"}))
    with pytest.raises(ReadError, match="curr1_input"):
        sampler.start()


def test_the_sampling_process_ends_with_the_one_that_started_it(tmp_path):
    # closing its input is all a killed parent can do
    write(tmp_path, ORIN_NANO)
    command = [sys.executable, "-m", "edgeft.evaluation.meters.sampler"]
    job = f'{{"meter": "ina3221", "root": "{tmp_path}"}}\n'
    done = subprocess.run(command, input=job, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0


class Script:
    """Watts from a list; None fails. Each wait moves the clock."""

    name, hz = "script", 10.0

    def __init__(self, values) -> None:
        self.values, self.now_ns, self.lines = list(values), 0, []

    def watts(self) -> float:
        value = self.values.pop(0)
        if value is None:
            raise ReadError("Resource temporarily\nunavailable")
        return value

    def wait(self, seconds: float) -> bool:
        self.now_ns += round(max(seconds, 0) * 1e9)
        return not self.values

    def run(self):
        sample(self, self.lines.append, self.wait, lambda: self.now_ns)
        return self.lines


def test_a_read_that_fails_leaves_a_gap_and_no_figure():
    # zones that are switched off answer EAGAIN
    lines = Script([4.0, None, 5.0]).run()
    assert lines == ["0 4.0\n", "! Resource temporarily unavailable\n", "200000000 5.0\n"]


def test_what_is_no_number_leaves_a_gap_too():
    lines = Script([4.0, float("nan"), float("inf"), 5.0]).run()
    assert lines == ["0 4.0\n", "! script gave nan W\n", "! script gave inf W\n", "300000000 5.0\n"]


def test_a_sensor_that_is_gone_ends_the_sampling():
    script = Script([4.0] + [None] * 1000)
    assert 50 <= len(script.run()) <= 53 and script.values  # 5 s at 10 Hz, then no more
