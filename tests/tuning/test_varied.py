"""Runs whose examples are varied: killed inside an epoch they come to the same end, and the record says how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgeft.quant import store
from edgeft.tuning.watch import Watch
from tests.tuning import small


class Killed(BaseException):
    pass


def test_a_killed_run_sees_the_same_variations_again(
    tune_on: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:  # T09
    augment = "flip,colour,randaugment,mixup,cutmix"
    options = {
        "model": str(small.save_timm(tmp_path / "m")), "freeze": "none", "epochs": 2.0, "augment": augment, "lr": 1e-3,
        "class_weights": "balanced", "scheme": "none",
    }  # fmt: skip
    data = small.image_dataset(tmp_path / "data")
    whole = tune_on(data, **options, output=tmp_path / "whole")
    real = Watch.on_step_end

    def die(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        real(self, args, state, control, **rest)
        if state.global_step == 5:  # three steps an epoch
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Watch, "on_step_end", die)
        tune_on(data, **options, output=tmp_path / "killed")
    resumed = tune_on(data, **options, output=tmp_path / "killed", resume=True)
    assert "float: going on from checkpoint-3" in capsys.readouterr().out
    assert resumed.document["scores"] == whole.document["scores"]
    assert resumed.document["augmentation"] == whole.document["augmentation"]
    assert [each["name"] for each in whole.document["augmentation"]] == augment.split(",")
    first, second = (store.load_file(run.float_model / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_mixed_images_pass_through_a_frozen_backbone_every_time(tune_on: Any, tmp_path: Path, capsys: Any) -> None:
    run = tune_on(
        small.image_dataset(tmp_path / "data"), model=str(small.save_timm(tmp_path / "m")), augment="crop,mixup:0.4",
        epochs=2.0,
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "images are mixed anew in every step: the frozen backbone runs in all epochs" in said
    assert "varied views" not in said
    assert run.document["augmentation"] == [{"name": "crop"}, {"name": "mixup", "alpha": 0.4}]
    assert run.scores_of("float")["test"]["value"] == run.scores_of("quantized")["test"]["value"] == 1.0
