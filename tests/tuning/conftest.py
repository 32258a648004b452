from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeft.data.dataset import Dataset
from edgeft.recipe import TuneSpec

torch.set_num_threads(1)


@pytest.fixture
def tune_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """tune_on(dataset, model=…, …) runs `edgeft tune` on a dataset made in code; small batches, no search for data."""
    from edgeft.tuning import run

    def call(dataset: Dataset, **options: Any) -> Any:
        monkeypatch.setattr(run, "read_dataset", lambda *_, **__: dataset)
        given = {
            "data": dataset.source, "output": tmp_path / "run", "batch_size": 8, "epochs": 1.0, "qat_epochs": 0.5,
            "calibration_samples": 16, "device": "cpu", **options,
        }  # fmt: skip
        known = {item.name for item in dataclasses.fields(TuneSpec)}
        assert set(given) <= known, set(given) - known
        return run.tune(TuneSpec(**given))

    return call
