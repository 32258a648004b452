"""The peak of memory that is reported, where texts have many lengths (R14)."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeft.evaluation import probe, record, session
from edgeft.profile import load_profile


def wide_texts(path):
    """input_ids [batch, sequence] -> logits, over [batch, sequence, 4096] floats: 8 MB at 512 tokens."""
    values = {"table": np.ones((10, 4), np.float32), "wide": np.ones((4, 4096), np.float32),
              "last": np.ones((4096, 2), np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]), helper.make_node("MatMul", ["x", "wide"], ["y"]),
        helper.make_node("Tanh", ["y"], ["z"]), helper.make_node("ReduceMean", ["z"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["logits"]),
    ]  # fmt: skip
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    weights = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "wide", [ids], [logits], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_a_session_took_is_its_peak_without_what_was_there_before():
    assert probe.Probe(0.1, 0.01, 104_000_000, 60_700_000).session_bytes == 43_300_000
    assert probe.Probe(0.1, 0.01, 104_000_000, None).session_bytes is None


@pytest.mark.skipif(probe.memory_bytes("VmRSS") is None, reason="this system does not say what is resident")
@pytest.mark.parametrize("profile", ["generic", "raspberry-pi-zero-2w"])
def test_the_peak_that_is_reported_holds_for_texts_of_any_length(tmp_path, profile):
    # 1,000 texts of random length take no more than the eight longest, which is what a fresh process is given
    settings = session.settings_for(load_profile(profile), None, 1, paced=False)
    lengths = np.random.default_rng(0).integers(1, 513, 1000)
    feeds = [{"input_ids": np.ones((1, int(n)), np.int64)} for n in lengths]
    longest = sorted(feeds, key=lambda feed: -feed["input_ids"].size)[:8]
    model = wide_texts(tmp_path / "wide.onnx")
    few, all_ = (probe.probe(model, settings, "logits", some) for some in (longest, feeds))
    grown = all_.peak_rss_bytes - few.peak_rss_bytes
    assert grown < 40_000_000 and all_.peak_rss_bytes < 512_000_000
    assert few.peak_rss_bytes - few.base_rss_bytes > 8_000_000


def test_a_small_board_keeps_no_memory_for_the_longest_text_it_ever_saw():
    # the arena keeps it, and a pattern is kept for each length
    small = session.settings_for(load_profile("raspberry-pi-zero-2w"), None, 1, paced=False)
    options = session._session_options(ort, small, None)
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    told = record._memory_options(ort, small)
    assert told == {"mem_arena": False, "mem_pattern": False, "x64quantprecision": False}
