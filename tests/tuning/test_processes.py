"""Two processes over gloo come to what one comes to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgeft.quant import store
from edgeft.runfolder import Run
from edgeft.tuning.watch import read_metrics

# Of the way that training went from its start: sums of gradients in another order differ in their last digits.
# Found: 2.8e-6 in float; of the quantized model 0.011 for weights and 0.026 for scales.
TOLERANCE = 1e-3
# Where a number is rounded to 8 bits a last digit decides now and then, and what follows is another number.
QUANTIZED_TOLERANCE = 0.1
State = dict[str, torch.Tensor]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "tests.tuning.together", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=7200)
    assert made.returncode == 0, made.stderr[-3000:]
    return folder


def codes(folder: Path) -> Any:
    return json.loads((folder / "codes.json").read_text())


def both(folder: Path) -> tuple[Run, Run]:
    assert codes(folder) == [0, 0], (folder / "err-0.txt").read_text() + (folder / "err-1.txt").read_text()
    return Run.open(folder / "two"), Run.open(folder / "one")


def apart(found: State, wanted: State, start: State) -> float:
    """Distance of two states over the way from the start to the second of them; about 1 for unlike batches."""
    # A bias of keys adds the same to all scores of a query: softmax takes it out, its gradient is rounding alone.
    names = [name for name in start if wanted[name].is_floating_point() and "key.bias" not in name]
    assert set(found) == set(wanted) and len(names) > 20

    def length(a: State, b: State) -> float:
        return float(torch.stack([(a[name].double() - b[name].double()).square().sum() for name in names]).sum().sqrt())

    moved = length(wanted, start)
    assert moved > 0
    return length(found, wanted) / moved


def test_float_weights_are_those_of_one_process(done: Path) -> None:
    two, one = both(done / "text")
    start = {f"bert.{name}": tensor for name, tensor in store.load_file(done / "bert" / "model.safetensors").items()}
    weights = [store.load_file(run.float_model / "model.safetensors") for run in (two, one)]
    assert apart(*weights, start) < TOLERANCE
    for split in ("validation", "test"):  # of 26 and 24 examples, of which one on the border may fall to either side
        found, wanted = (run.scores_of("float")[split] for run in (two, one))
        assert found["n"] == wanted["n"] and found["value"] == pytest.approx(wanted["value"], abs=1.01 / wanted["n"])


def test_ranges_are_those_of_one_process(done: Path) -> None:
    first, second = (store.load_file(run.quantized / "calibrated.safetensors") for run in both(done / "text"))
    scales = [name for name in second if name.endswith(".scale")]
    assert len(scales) > 20
    # A percentile is the edge of a bin that is 1/128 wide.
    assert all(torch.allclose(first[name], second[name], rtol=0.02) for name in scales)


def test_quantized_weights_and_step_sizes_are_those_of_one_process(done: Path) -> None:
    two, one = both(done / "text")
    trained = [torch.load(done / "text" / f"{name}-trained.pt") for name in ("two", "one")]
    start = store.load_file(one.quantized / "calibrated.safetensors")
    scales = {name: tensor for name, tensor in start.items() if name.endswith(".scale")}
    assert apart(*trained, scales) < QUANTIZED_TOLERANCE
    assert apart(*trained, {name: tensor for name, tensor in start.items() if name not in scales}) < QUANTIZED_TOLERANCE
    lines = [read_metrics(run.path / "metrics.jsonl") for run in (two, one)]
    losses = [[line["loss"] for line in each if "loss" in line] for each in lines]
    assert len(losses[0]) == 4 and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_frozen_backbone_is_run_by_both_and_kept_by_the_first(done: Path) -> None:
    two, one = both(done / "image")
    assert two.scores_of("float")["test"]["value"] == one.scores_of("float")["test"]["value"]
    weights = [store.load_file(run.float_model / "model.safetensors") for run in (two, one)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[1])
    caches = [done / "image" / name / "features" for name in ("cache-two", "cache-one")]
    kept = [{path.name: np.load(path) for path in cache.iterdir()} for cache in caches]
    assert set(kept[0]) == set(kept[1]) and len(kept[0]) == 2  # plain images for the probe, and their varied views
    for name, wanted in kept[1].items():
        found = kept[0][name]
        order = [list(found["keys"]).index(key) for key in wanted["keys"]]
        assert len(order) == len(found["keys"])
        assert np.allclose(found["rows"][order], wanted["rows"], atol=1e-5)


def test_the_first_process_alone_speaks(done: Path) -> None:
    for name in ("text", "image"):
        said = (done / name / "out-0.txt").read_text()
        assert "2 processes share every training step: " in said and "float: epoch 1" in said
        assert (done / name / "out-1.txt").read_text() == ""
    assert len(read_metrics(done / "text" / "two" / "metrics.jsonl")) == len(
        read_metrics(done / "text" / "one" / "metrics.jsonl")
    )


def test_an_error_in_one_process_ends_both_with_one_message(done: Path) -> None:
    assert codes(done / "failed") == [1, 1]
    said = [(done / "failed" / f"err-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    lines = [line for each in said for line in each if line.startswith("error:")]
    assert lines == ["error: the second process met something; do something else"]


def test_an_interrupted_run_goes_on(done: Path) -> None:
    assert codes(done / "resumed") == [0, 0], (done / "resumed" / "err-0.txt").read_text()
    resumed, whole = Run.open(done / "failed" / "run"), Run.open(done / "text" / "two")
    assert resumed.document["scores"] == whole.document["scores"]


def test_a_search_is_refused_by_one_line(done: Path) -> None:
    assert codes(done / "search") == [2, 2]
    said = (done / "search" / "err-0.txt").read_text() + (done / "search" / "err-1.txt").read_text()
    assert said.count("error:") == 1 and "without torchrun" in said


def test_batchnorm_takes_the_statistics_of_both(done: Path) -> None:
    assert codes(done / "norm") == [0, 0]
    torch.manual_seed(0)
    x, weights = torch.randn(6, 3, 4, 4).requires_grad_(), torch.randn(6, 3, 4, 4)
    norm = nn.BatchNorm2d(3)
    (norm(x) * weights).sum().backward()
    halves = [torch.load(done / "norm" / f"{rank}.pt") for rank in (0, 1)]
    assert torch.allclose(torch.cat([half[0] for half in halves]), x.grad, atol=1e-5)
    for half in halves:
        for found, wanted in zip(half[1:], (norm.weight.grad, norm.running_mean, norm.running_var), strict=True):
            assert torch.allclose(found, wanted, atol=1e-5)
