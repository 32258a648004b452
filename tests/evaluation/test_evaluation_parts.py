"""Sessions, conditions, probes, samples, shelves and budgets, each alone."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from edgeft.budget import parse_budget
from edgeft.data.dataset import Example
from edgeft.errors import MachineError, ModelError, UsageError
from edgeft.evaluation import conditions, limits, passes, plan, probe, session, shelf
from edgeft.evaluation.conditions import Snapshot
from edgeft.evaluation.meters import sampler
from edgeft.evaluation.presets import PRESETS, preset
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import Settings
from edgeft.evaluation.timing import InProcess
from edgeft.profile import load_profile
from edgeft.tasks.task import TensorSpec
from tests.evaluation.fakes import FakeClock, FakeModel


def write(root, files):
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)


def test_snapshot_of_a_made_up_board(tmp_path):
    cpu = "sys/devices/system/cpu"
    write(
        tmp_path,
        {
            "proc/loadavg": "0.52 0.58 0.59 1/389 12345\n",
            f"{cpu}/cpufreq/policy0/scaling_cur_freq": "1800000\n",
            f"{cpu}/cpufreq/policy4/scaling_cur_freq": "2400000\n",
            f"{cpu}/cpufreq/policy0/scaling_governor": "ondemand\n",
            f"{cpu}/cpu0/thermal_throttle/core_throttle_count": "3\n",
            f"{cpu}/cpu0/thermal_throttle/package_throttle_count": "4\n",
            "sys/class/thermal/thermal_zone0/temp": "48843\n",
            "sys/class/thermal/thermal_zone0/type": "cpu\n",
            "proc/vmstat": "pswpin 17\npswpout 3\n",
            "sys/class/power_supply/BAT0/type": "Battery\n",
            "sys/class/power_supply/BAT0/status": "Discharging\n",
            "proc/meminfo": "MemTotal: 500000 kB\nMemAvailable: 300000 kB\n",
        },
    )
    known = Snapshot(0.52, 2100.0, ("ondemand",), 48.843, 7, None, 17, True, 300000 * 1024, False)
    assert Snapshot.take(tmp_path) == known
    (tmp_path / "sys/class/power_supply/BAT0/status").write_text("Charging\n")
    now = Snapshot.take(tmp_path)
    assert (now.on_battery, now.charging) == (False, True)
    assert conditions.available_bytes(tmp_path) == 300000 * 1024


def test_a_container_has_less_memory_than_its_machine(tmp_path):
    write(
        tmp_path,
        {
            "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n",
            "proc/self/cgroup": "0::/docker/abc\n",
            "sys/fs/cgroup/docker/abc/memory.max": "536870912\n",
            "sys/fs/cgroup/docker/abc/memory.current": "36870912\n",
        },
    )
    assert conditions.available_bytes(tmp_path) == 500_000_000
    (tmp_path / "sys/fs/cgroup/docker/abc/memory.max").write_text("max\n")
    assert conditions.available_bytes(tmp_path) == 6000000 * 1024


def test_what_an_empty_machine_does_not_say_is_absent(tmp_path):
    assert Snapshot.take(tmp_path) == Snapshot()
    assert Snapshot().as_json() == {}
    assert conditions.available_bytes(tmp_path) is None


def test_settings_survive_the_trip_to_a_child_process():
    settings = Settings(threads=3, attributes={"enable_cpu_mem_arena": False}, affinity=(0, 2))
    assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_affinity_is_put_back():
    # R12
    before = os.sched_getaffinity(0)
    with session.kept_to((min(before),)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_a_container_that_allows_no_affinity_is_a_warning(monkeypatch, capsys):
    def refuse(process, cpus):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with session.kept_to((0, 2)) as cpus:
        assert cpus == ()
    assert "cannot be kept to CPUs 0, 2 ([Errno 22] Invalid argument)" in capsys.readouterr().err


@pytest.mark.parametrize("mine,asked", [({0, 1}, [{2, 3}]), ({0, 1, 2, 3}, [])])
def test_the_sampler_stands_aside_of_the_timed_cpus(monkeypatch, mine, asked):
    moved, priorities = [], []
    monkeypatch.setattr(os, "nice", priorities.append)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: mine, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: moved.append(cpus), raising=False)
    sampler.stand_aside()
    assert (moved, priorities) == (asked, [19])


def test_feeds_are_cast_and_only_what_the_model_has():
    # E03: ids made as int32 by numpy on some boards
    model = FakeModel(FakeClock(), lambda k: 0.1)
    model.inputs = {"input_ids": "int64"}
    arrays = {"input_ids": np.zeros((1, 4), np.int32), "token_type_ids": np.zeros((1, 4), np.int32)}
    feed = session.feed_for(model, arrays, "int8")
    assert list(feed) == ["input_ids"] and feed["input_ids"].dtype == np.int64
    model.inputs = {"position_ids": "int64"}
    with pytest.raises(ModelError, match="'position_ids'"):
        session.feed_for(model, arrays, "int8")


def test_a_fixed_batch_is_filled_with_copies():
    # E01
    model = FakeModel(FakeClock(), lambda k: 0.1)
    model.fixed_batch = 3
    feed = session.feed_for(model, {"pixel_values": np.array([[5.0]])}, "int8")
    assert feed["pixel_values"].ravel().tolist() == [5.0, 5.0, 5.0]
    with pytest.raises(ModelError, match="batches of 3"):
        session.feed_for(model, {"pixel_values": np.zeros((4, 1))}, "int8")


@pytest.mark.parametrize(
    "message,expected",
    [
        ("Unsupported model IR version: 15, max supported IR version: 14", "IR version 15.* up to 14"),
        (
            "ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. "
            "Opset 27 is under development and support for this is limited. Current official support for domain "
            "ai.onnx is till opset 26.",
            "opset 27.* up to 26.*--opset 26",
        ),
        ("Could not find an implementation for ConvInteger(10) node with name 'a'", "no kernel for ConvInteger"),
    ],
)
def test_load_errors_give_numbers_and_a_command(message, expected):
    # R01, R09
    assert session.load_error("int8.onnx", message, "1.17.0").what
    with pytest.raises(ModelError, match=expected):
        raise session.load_error("int8.onnx", message, "1.17.0")


def test_nodes_are_counted_once_however_often_they_ran(tmp_path):
    event = {"cat": "Node", "name": "conv_kernel_time", "args": {"provider": "CPUExecutionProvider", "node_index": "4"}}
    event["args"]["op_name"] = "QLinearConv"
    other = {"cat": "Node", "name": "pool_kernel_time", "args": {**event["args"], "node_index": "5", "op_name": "Pool"}}
    place = tmp_path / "profile.json"
    place.write_text(json.dumps([event, event, other, {"cat": "Session", "name": "model_run", "args": {}}]))
    assert probe.count_nodes(place) == ({"CPUExecutionProvider": 2}, {"QLinearConv": 1, "Pool": 1})


def test_a_fresh_process_reports_its_own_peak(bundle_path):
    feed = {"pixel_values": np.zeros((1, 3, 8, 8), np.float32)}
    ballast = np.ones(40_000_000)  # 320 MB here must not show there
    found = probe.probe(bundle_path / "int8.onnx", Settings(), "logits", [feed])
    assert ballast.nbytes > 300_000_000
    if found.peak_rss_bytes is not None:
        assert found.base_rss_bytes <= found.peak_rss_bytes < 250_000_000
    assert found.integer_nodes == 1 and found.float_nodes == {}


def test_a_process_that_dies_is_an_error_with_its_signal(bundle_path, monkeypatch):
    class Killed:
        returncode, stderr = -9, ""

    monkeypatch.setattr(probe.subprocess, "run", lambda *given, **more: Killed())
    with pytest.raises(MachineError, match="killed by signal 9.*free memory"):
        probe.probe(bundle_path / "int8.onnx", Settings(), "logits", [])


class Encoder:
    inputs = (TensorSpec("x", "float32", ("batch", 1000)),)

    def __call__(self, contents):
        if contents[0] == "broken":
            raise OSError("image file is truncated")
        return {"x": np.full((1, 1000), float(contents[0]), np.float32)}


def make_samples(contents):
    return Samples([Example(f"row {i}", content, 0) for i, content in enumerate(contents)], Encoder())


def test_unreadable_samples_are_left_out_and_remembered():
    samples = make_samples(["1", "broken", "3"])
    assert [position for position, _ in samples.stream()] == [0, 2]
    assert samples.unreadable == {1: "row 1: image file is truncated"}


def test_windows_hold_little_and_go_through_all_samples(monkeypatch):
    monkeypatch.setattr("edgeft.evaluation.samples.POOL_BYTES", 12_000)  # three examples of 4,000 bytes
    samples = make_samples([str(i) for i in range(7)] + ["broken"])
    windows = samples.windows(seed=1)
    taken = [next(windows) for _ in range(5)]
    assert [len(window) for window in taken] == [3, 3, 3, 3, 3]
    order = [position for window in taken for position, _ in window]
    assert sorted(order[:7]) == list(range(7)) and order[7:14] == order[:7]
    again = samples.windows(seed=1)
    assert [position for window in (next(again), next(again)) for position, _ in window] == order[:6]


def test_windows_of_nothing_end():
    assert next(make_samples(["broken"]).windows(seed=0), None) is None


def test_shelf_keeps_what_fits():
    opened = []
    books = shelf.Shelf(lambda name: opened.append(name) or InProcess(), ["a", "b", "c"], 1)
    assert books.groups() == [("a",), ("b",), ("c",)]
    for name in "aabba":
        books.get(name)
    assert opened == ["a", "b", "a"]


def test_capacity_keeps_to_the_larger_file_and_its_room():
    # 2 x (18 + 5) MB fits beside 18 + 60; 2 x (90 + 90) MB does not fit beside 90 + 60.
    assert shelf.capacity([18_000_000, 5_000_000]) == 2
    assert shelf.capacity([90_000_000, 90_000_000]) == 1
    # Files of 13.5, 13.5, 3.8 and 3.8 MB that took 43 and 21 MB with what layers pass on: 128 MB beside 13.5 + 60.
    files, taken = [13_500_000, 13_500_000, 3_800_000, 3_800_000], [43_000_000, 43_000_000, 21_000_000, 21_000_000]
    assert (shelf.capacity(files), shelf.capacity(files, taken_bytes=taken)) == (4, 1)
    assert shelf.capacity(files[1:3], taken_bytes=[43_000_000, 21_000_000]) == 2
    assert shelf.capacity(files, "TensorrtExecutionProvider", 500_000_000, taken) == 4
    # A provider that compiles keeps them open while 2 x (90 + 90) MB are there.
    assert shelf.capacity([90_000_000, 90_000_000], "TensorrtExecutionProvider", 360_000_000) == 2
    assert shelf.capacity([90_000_000, 90_000_000], "TensorrtExecutionProvider", 359_000_000) == 1
    assert shelf.capacity([90_000_000, 90_000_000], "TensorrtExecutionProvider", None) == 2


def test_cooling_waits_for_the_start_temperature_and_not_for_ever():
    clock = FakeClock()
    heat = iter([70.0, 60.0, 51.0])
    passes.cool_down(
        Snapshot(temperature_c=50.0), PRESETS["standard"], clock.tools(lambda: Snapshot(temperature_c=next(heat)))
    )
    assert clock.slept_s == [5.0, 5.0]
    clock = FakeClock()
    passes.cool_down(
        Snapshot(temperature_c=50.0), PRESETS["standard"], clock.tools(lambda: Snapshot(temperature_c=90.0))
    )
    assert sum(clock.slept_s) == 300.0
    clock = FakeClock()
    passes.cool_down(Snapshot(), PRESETS["standard"], clock.tools())
    assert clock.slept_s == []


def test_the_offline_batch_stops_when_memory_runs_short():
    clock = FakeClock()
    models = {"original": FakeModel(clock, lambda k: 0.01)}
    window = [(0, {"pixel_values": np.zeros((1, 1), np.float32)})]
    plenty = plan.largest_batch(shelf.Shelf(models.__getitem__, ["original"], 1), window, lambda: 10**12)
    assert plenty == (plan.MAX_BATCH, "no more is tried")
    left = iter([10**9, 10**9, 10**9, 300_000_000])
    short = plan.largest_batch(shelf.Shelf(models.__getitem__, ["original"], 1), window, lambda: next(left))
    assert short == (4, "300 MB of memory are left")


def test_the_offline_batch_is_the_last_that_every_variant_took():
    class Limited(FakeModel):
        def _call(self, feed):
            if len(feed["pixel_values"]) > 8:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 4096")
            return super()._call(feed)

    opened = []
    models = {"original": FakeModel(FakeClock(), lambda k: 0.01), "int8": Limited(FakeClock(), lambda k: 0.01)}
    books = shelf.Shelf(lambda name: opened.append(name) or models[name], ["original", "int8"], 2)
    window = [(0, {"pixel_values": np.zeros((1, 1), np.float32)})]
    assert plan.largest_batch(books, window, lambda: 10**12) == (8, "int8 does not run with 16")
    books.get("int8")
    assert opened == ["original", "int8", "int8"]  # what refused is opened anew
    models["int8"].fixed_batch = 2
    assert plan.largest_batch(books, window, lambda: 10**12) == (2, "int8 is frozen to it")


def test_presets_have_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'standard'"):
        preset("standart")


DOCUMENT = {
    "baseline": "original",
    "variants": {
        name: {"size_bytes": size, "latency": {"p50_s": p50, "p90_s": p90}, "memory": {}, "energy": {}}
        for name, size, p50, p90 in [
            ("original", 18e6, 0.002, 0.0021),
            ("int8", 4.5e6, 0.0013, 0.0015),
            ("ptq", 4.5e6, 0.001, 0.0011),
        ]
    },
    "comparisons": {"int8": {"accuracy": {"diff": -0.002}}, "ptq": {"accuracy": {"diff": -0.03}}},
    "validity": {"valid": True, "flags": []},
}


def test_the_winner_keeps_every_limit():
    lines, winner = limits.check(parse_budget("accuracy>=-1pt,size<=10MB,latency_p90<=2ms"), DOCUMENT)
    assert winner == "int8"  # ptq is faster and loses 3 points
    assert [line["value"] for line in lines] == [-0.002, 4.5e6, 0.0015]
    assert lines[0]["by_variant"]["ptq"] == {"passed": False, "value": -0.03}


def test_limits_against_the_baseline_and_absolute_ones():
    variants = {
        name: {**one, "accuracy": {"value": value}}
        for (name, one), value in zip(DOCUMENT["variants"].items(), (0.95, 0.948, 0.92), strict=True)
    }
    document = {**DOCUMENT, "variants": variants}
    lines, winner = limits.check(parse_budget("accuracy>=93%,size<=0.3x,latency_p50<=0.7x"), document)
    assert winner == "int8"  # ptq is below 93 %, and the original is 1x itself
    assert [line["value"] for line in lines] == [0.948, 4.5e6 / 18e6, 0.0013 / 0.002]
    assert [line["by_variant"]["original"]["passed"] for line in lines] == [True, False, False]


def test_what_was_not_measured_does_not_pass():
    lines, winner = limits.check(parse_budget("memory<=100MB"), DOCUMENT)
    assert winner is None and lines[0]["passed"] is False and "value" not in lines[0]
    assert limits.missed_text(lines[0]) == "memory<=100MB (not measured)"


def flagged(*flags, **energies):
    """DOCUMENT with these flags, and joules by variant."""
    variants = {
        name: {**one, "energy": {"status": "measured", "gross_j": energies[name]} if name in energies else {}}
        for name, one in DOCUMENT["variants"].items()
    }
    return {**DOCUMENT, "variants": variants, "validity": {"valid": not flags, "flags": list(flags)}}


def invalid(affects, **more):
    return {"code": "throttled", "severity": "invalid", "evidence": "it was hot", "affects": affects, **more}


def test_a_figure_that_is_not_valid_passes_no_budget():
    lines, winner = limits.check(parse_budget("latency_p90<=2ms,size<=10MB"), flagged(invalid("latency")))
    assert winner is None and [line["passed"] for line in lines] == [False, True]
    assert limits.missed_text(lines[0]) == "latency_p90<=2ms (int8 has 1.5 ms, not valid: it was hot)"
    # a flag about one variant leaves the figures of the others; against the baseline, those of the baseline count too
    one = flagged(invalid("latency", variant="ptq"))
    assert limits.check(parse_budget("latency_p90<=2ms"), one)[1] == "int8"
    base = flagged(invalid("latency", variant="original"))
    assert limits.check(parse_budget("latency_p90<=2ms"), base)[1] == "ptq"
    assert limits.check(parse_budget("latency_p90<=0.9x"), base)[1] is None
    everything = flagged(invalid("all"))
    assert limits.check(parse_budget("accuracy>=-1pt"), everything)[1] is None


def test_the_winner_is_not_chosen_by_joules_that_are_not_valid():
    joules = {"original": 3.0, "int8": 1.0, "ptq": 2.0}
    budget = parse_budget("size<=10MB")
    assert limits.check(budget, flagged(**joules))[1] == "int8"
    assert limits.check(budget, flagged(invalid("energy"), **joules))[1] == "ptq"  # the fastest
    # neither joules nor times can be trusted: the smaller file, and the first of two alike
    assert limits.check(budget, flagged(invalid("all"), **joules))[1] == "int8"


@pytest.mark.parametrize(
    "text,value,shown",
    [
        ("latency_p90<=20ms", 0.0231, "23.1 ms"),
        ("size<=10MB", 4.5e6, "4.5 MB"),
        ("accuracy>=-1pt", -0.013, "-1.3 pt"),
        ("accuracy>=92%", 0.913, "91.3 %"),
        ("size<=0.3x", 0.25, "0.25x"),
    ],
)
def test_values_are_spelled_in_the_unit_of_the_limit(text, value, shown):
    assert limits.spelled(text, value) == shown


_TURNS = """
import sys
from pathlib import Path
from types import SimpleNamespace
from edgeft.evaluation import passes, probe, shelf
from edgeft.evaluation.session import Settings
paths = {name: Path(sys.argv[1]) for name in "abc"}
import onnxruntime
base = probe.memory_bytes("VmRSS")
books = shelf.Shelf(passes.opener(paths, Settings(), "logits", 1), list(paths), 1)
for name in "abcabc":
    books.get(name)
print(probe.memory_bytes("VmHWM") - base)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("width,layers,most", [(3000, 1, 2.5), (300, 100, 1.5)])
def test_opening_models_in_turn_takes_the_memory_of_one(tmp_path, width, layers, most):
    # 36 MB of float weights. A single matrix is held twice while it is packed; small ones are not, and their holes in
    # the heap took as much again before each had a mapping of its own.
    rng = np.random.default_rng(0)
    names = ["pixel_values", *(f"y{k}" for k in range(layers - 1)), "logits"]
    nodes = [onnx.helper.make_node("MatMul", [names[k], f"w{k}"], [names[k + 1]]) for k in range(layers)]
    weights = {f"w{k}": rng.normal(size=(width, width)).astype(np.float32) for k in range(layers)}
    graph = onnx.helper.make_graph(
        nodes,
        "large",
        [onnx.helper.make_tensor_value_info("pixel_values", onnx.TensorProto.FLOAT, ["batch", width])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", width])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, tmp_path / "large.onnx")
    command = [sys.executable, "-c", _TURNS, str(tmp_path / "large.onnx")]
    root = str(Path(shelf.__file__).parents[2])
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root})
    assert int(done.stdout) < most * 36_000_000


def test_a_process_that_hangs_ends_with_an_error(bundle_path, monkeypatch):
    monkeypatch.setattr(probe, "_TIMEOUT_S", 0.001)
    with pytest.raises(MachineError, match="did not end within"):
        probe.probe(bundle_path / "int8.onnx", Settings(), "logits", [{"pixel_values": np.zeros((1, 3, 8, 8))}])


STATUS = "Name:\tpython\nVmPeak:\t  90000 kB\nVmHWM:\t   51200 kB\nVmRSS:\t   40960 kB\n"


def test_memory_is_what_the_kernel_says_of_this_process(tmp_path):
    (tmp_path / "status").write_text(STATUS)
    assert probe.memory_bytes("VmHWM", tmp_path / "status") == 51200 * 1024
    assert probe.memory_bytes("VmRSS", tmp_path / "status") == 40960 * 1024


@pytest.mark.parametrize(("platform", "peak"), [("darwin", 51200), ("freebsd14", 51200 * 1024)])
def test_without_proc_the_peak_is_getrusages_and_the_present_is_not_known(monkeypatch, tmp_path, platform, peak):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=51200))
    assert probe.memory_bytes("VmHWM", tmp_path / "absent") == peak
    assert probe.memory_bytes("VmRSS", tmp_path / "absent") is None


def test_a_limit_on_memory_that_cannot_be_measured_is_refused_beforehand(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert (peak := probe.memory_bytes("VmHWM", tmp_path / "absent")) is None
    with pytest.raises(MachineError, match="memory<=100MB.*leave memory out"):
        limits.refuse_unmeasured_memory(parse_budget("size<=10MB,memory<=100MB"), peak)
    limits.refuse_unmeasured_memory(parse_budget("size<=10MB"), peak)
    limits.refuse_unmeasured_memory(parse_budget("memory<=100MB"), 1)


def test_a_provider_that_does_not_start_is_no_measurement_of_the_cpu(bundle_path, monkeypatch):
    """onnxruntime's CPU build leaves CUDA out with a warning, as its GPU build does where the driver is missing."""
    import onnxruntime as ort

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(MachineError, match="CUDAExecutionProvider does not start here.*onnxruntime-gpu"):
        session.open_model(bundle_path / "int8.onnx", Settings(provider="CUDAExecutionProvider"), "logits")


TRT, CUDA, CPU = "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(
    "profile,provider,expected",
    [
        ("jetson-orin-nano", None, [TRT, CUDA, CPU]),
        ("jetson-orin-nano", CUDA, [CUDA, CPU]),
        ("jetson-orin-nano", CPU, [CPU]),
        ("nvidia-gpu", None, [CUDA, CPU]),  # TensorRT stands behind CUDA there, and never takes what CUDA leaves
        ("nvidia-gpu", TRT, [TRT, CUDA, CPU]),
        ("x86-64-vnni", None, [CPU]),
        ("generic", "XnnpackExecutionProvider", ["XnnpackExecutionProvider", CPU]),
    ],
)
def test_the_providers_of_a_profile_are_a_chain(profile, provider, expected):
    settings = session.settings_for(load_profile(profile), provider, 1, paced=False)
    assert list(settings.chain(expected)) == expected
    assert list(settings.chain([CPU])) == list(dict.fromkeys([expected[0], CPU]))
    assert Settings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


def test_a_session_gets_the_chain_with_its_options(bundle_path, monkeypatch):
    import onnxruntime as ort

    asked = []
    monkeypatch.setattr(ort, "get_available_providers", lambda: [TRT, CUDA, CPU])
    monkeypatch.setattr(ort, "InferenceSession", lambda path, options, providers: asked.append(providers))
    behind = {CUDA: {"device_id": 1}, "AzureExecutionProvider": {}, CPU: {}}  # Azure is not there
    settings = Settings(TRT, ep_options={"trt_int8_enable": True}, fallbacks=behind)
    with pytest.raises(AttributeError):  # the session made here is None
        session.open_model(bundle_path / "int8.onnx", settings, "logits")
    assert asked == [[(TRT, {"trt_int8_enable": True}), (CUDA, {"device_id": 1}), (CPU, {})]]
