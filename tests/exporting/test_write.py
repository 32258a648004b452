"""One file where it fits, the same bytes every time, two files that load where it does not."""

from __future__ import annotations

import shutil

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from edgeft.errors import ModelError
from edgeft.exporting import sessions
from edgeft.exporting.write import write
from tests.exporting import graphs


@pytest.fixture
def large():
    """A product with 2 MB of weights."""
    weight = np.random.default_rng(0).normal(size=(4, 131072)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"], "product")]
    return graphs.model(nodes, {"w": weight}, y=("batch", 131072))


def _answer(path):
    x = np.ones((2, 4), np.float32)
    return sessions.answer(sessions.open_session(path, optimized=True), {"x": x})


def test_a_model_that_fits_is_one_file_and_can_be_moved_alone(large, tmp_path):  # E08
    path = write(large, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    (tmp_path / "elsewhere").mkdir()
    moved = shutil.move(path, tmp_path / "elsewhere" / "model.onnx")
    assert _answer(moved).shape == (2, 131072)


def test_a_model_too_large_for_one_file_is_split_and_loads(large, tmp_path):  # E07
    whole = _answer(write(large, tmp_path / "whole.onnx"))
    path = write(large, tmp_path / "split.onnx", split_above=1_000_000)
    data = tmp_path / "split.onnx.data"
    assert path.stat().st_size < 10_000 and data.stat().st_size == 4 * 131072 * 4
    assert np.array_equal(_answer(path), whole)
    assert ir.load(path).graph.initializers["w"].const_value.location == "split.onnx.data"


def test_writing_twice_gives_the_same_sizes(large, tmp_path):  # E09
    sizes = []
    for _ in range(2):
        write(large, tmp_path / "split.onnx", split_above=1_000_000)
        sizes.append({file.name: file.stat().st_size for file in tmp_path.iterdir()})
    assert sizes[0] == sizes[1]


def test_a_file_the_checker_refuses_is_an_error(tmp_path):
    model = graphs.model([helper.make_node("Relu", ["x"], ["logits"], "relu")], {}, x=("batch", 3))
    model.graph[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="refuses model.onnx.*NoSuchOperator"):
        write(model, tmp_path / "model.onnx")
