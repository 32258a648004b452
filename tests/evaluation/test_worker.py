"""A model in a process of its own: the same answers and times as here, and nothing left when it is closed."""

import os
import signal

import numpy as np
import pytest

from edgeft.errors import MachineError, ModelError
from edgeft.evaluation import run, session, shelf, worker
from edgeft.evaluation.schedule import BlockRule
from edgeft.evaluation.session import Settings
from edgeft.evaluation.timing import Pace, RealTicks

FEED = {"pixel_values": np.random.default_rng(0).random((1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def opened(bundle_path):
    model = worker.OwnProcess(bundle_path / "int8.onnx", Settings(), "logits")
    yield model
    model.close()


def test_it_answers_as_a_model_of_this_process_does(opened, bundle_path):
    here = session.open_model(bundle_path / "int8.onnx", Settings(), "logits")
    assert (opened.inputs, opened.fixed_batch) == (here.inputs, here.fixed_batch)
    assert np.array_equal(session.run_logits(opened, FEED, 1, "int8"), session.run_logits(here, FEED, 1, "int8"))


def test_queries_are_timed_where_they_run(opened):
    times = opened.time([FEED] * 3, BlockRule(50, 0.0, 10.0), Pace(), RealTicks(), 1)
    assert times.dtype == np.int64 and len(times) == 50
    before = opened.away_ns
    opened.call(FEED)
    # the way there and back takes longer than this model, and is not in its times
    assert opened.away_ns - before > np.median(times) > 0


def test_what_opening_raises_comes_here(bundle_path):
    with pytest.raises(MachineError, match="no CUDAExecutionProvider here"):
        worker.OwnProcess(bundle_path / "int8.onnx", Settings(provider="CUDAExecutionProvider"), "logits")
    with pytest.raises(ModelError, match="no output 'scores'"):
        worker.OwnProcess(bundle_path / "int8.onnx", Settings(), "scores")


def test_what_the_runtime_refuses_is_the_usual_error(opened):
    with pytest.raises(ModelError, match="int8 does not run on pixel_values float32"):
        session.run_logits(opened, {"pixel_values": np.zeros((1, 1, 8, 8), np.float32)}, 1, "int8")
    assert session.run_logits(opened, FEED, 1, "int8").shape == (1, 3)  # and it goes on


def test_a_process_that_is_killed_is_an_error_with_its_signal(opened):
    os.kill(opened._process.pid, signal.SIGKILL)
    with pytest.raises(MachineError, match=r"int8.onnx was killed by signal 9.*free memory"):
        opened.call(FEED)


def test_closing_ends_the_process(bundle_path):
    model = worker.OwnProcess(bundle_path / "int8.onnx", Settings(), "logits")
    model.close()
    assert model._process.returncode == 0
    model.close()  # twice does no harm


def test_an_evaluation_in_fresh_processes_finds_the_same(spec, monkeypatch):
    together = run.evaluate(spec())
    opened = []
    real = worker.OwnProcess
    monkeypatch.setattr(run.passes, "OwnProcess", lambda *given: opened.append(given) or real(*given))
    monkeypatch.setattr(run.passes, "capacity", lambda *given: 1)
    monkeypatch.setattr(shelf, "closing_gives_memory_back", lambda provider: False)
    apart = run.evaluate(spec())
    assert len(opened) >= 8  # two in the accuracy pass, and one whenever the variant changes
    for name in ("original", "int8"):
        assert np.array_equal(together.samples()[f"{name}/logits"], apart.samples()[f"{name}/logits"])
        times = apart.document["variants"][name]["latency"]
        assert times["n"] >= 80 and times["end_to_end"]["p50_s"] > times["p50_s"]
        # pickling an image there and back would take several times the query
        assert times["end_to_end"]["p50_s"] < 4 * together.document["variants"][name]["latency"]["end_to_end"]["p50_s"]


def test_memory_comes_back_from_the_cpu_provider_with_glibc(monkeypatch):
    assert not shelf.closing_gives_memory_back("CUDAExecutionProvider")
    monkeypatch.setattr(shelf.sys, "platform", "darwin")
    assert not shelf.closing_gives_memory_back("CPUExecutionProvider")
