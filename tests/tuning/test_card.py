"""The model card of a run: what it says, the licence it found, the energy it took, and no path of this machine."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeft.tuning.joules import energy_words, metered
from edgeft.tuning.licence import licence_of
from tests.evaluation.meters.meter_fakes import world, write
from tests.tuning import small


def test_the_card_says_what_was_done_and_marks_what_is_left_open(tune_on: Any, tmp_path: Path) -> None:
    model = small.save_timm(tmp_path / "net")
    config = json.loads((model / "config.json").read_text())
    config["pretrained_cfg"]["license"] = "apache-2.0"
    (model / "config.json").write_text(json.dumps(config))
    data = small.image_dataset(tmp_path / "flags")
    data = dataclasses.replace(data, notices=("36 images of 2 classes: train 24",))
    run = tune_on(data, model=str(model), augment="crop,mixup:0.4", qat_epochs=0.0)
    card = (run.path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: edgeft\npipeline_tag: image-classification\n")
    assert "# net, tuned for image-classification" in card and "blue, red" in card
    assert "| train | 24 |" in card and "- 36 images of 2 classes: train 24" in card
    assert "training examples varied: crop, mixup alpha 0.4" in card
    value = run.scores_of("quantized")["test"]["value"]
    assert re.search(rf"\| quantized, as the run ends \| [\d.]+ \| {value:.4f} \|", card)
    assert "- pretrained model net: apache-2.0 (config.json)" in card
    assert run.document["model"]["licence"] == "apache-2.0 (config.json)"
    assert card.count("**To be written by you.**") == 3
    assert str(tmp_path) not in card
    assert run.document["energy"]["status"] in ("measured", "not_measured")


def test_a_licence_is_what_the_folder_says(tmp_path: Path) -> None:
    assert licence_of(tmp_path) is None and licence_of(tmp_path / "nowhere") is None
    (tmp_path / "LICENSE").write_text("any")
    assert licence_of(tmp_path) == "see LICENSE in its folder"
    (tmp_path / "config.json").write_text('{"license": " "}')
    assert licence_of(tmp_path) == "see LICENSE in its folder"
    (tmp_path / "config.json").write_text('{"pretrained_cfg": {"license": "mit"}}')
    assert licence_of(tmp_path) == "mit (config.json)"
    (tmp_path / "README.md").write_text("license: no front matter\n")
    assert licence_of(tmp_path) == "mit (config.json)"
    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: 'cc-by-4.0'\n---\nlicense: other\n")
    assert licence_of(tmp_path) == "cc-by-4.0 (README.md)"
    (tmp_path / "config.json").write_text("[]")
    (tmp_path / "README.md").unlink()
    assert licence_of(tmp_path) == "see LICENSE in its folder"


ENERGY = "sys/class/powercap/intel-rapl:0/energy_uj"


def with_rapl(folder: Path) -> Path:
    zone = "sys/class/powercap/intel-rapl:0"
    return write(folder, {f"{zone}/name": "package-0", ENERGY: 1_000_000, f"{zone}/max_energy_range_uj": 10**12})


def test_energy_is_what_the_counter_moved(tmp_path: Path) -> None:
    root = with_rapl(tmp_path)
    with metered(torch.device("cpu"), resumed=False, world=world(root)) as found:
        (root / ENERGY).write_text(f"{1_000_000 + 7_200_000_000}\n")
    assert (found["status"], found["gross_j"], found["coverage"]) == ("measured", 7200.0, "CPU package")
    assert "reason" not in found and "part" not in found
    assert energy_words(found).startswith("2 Wh gross in ")
    with metered(torch.device("cpu"), resumed=True, world=world(root)) as found:
        pass
    assert energy_words(found).endswith("covers CPU package, since the run was last resumed")


def test_without_a_meter_there_is_no_figure(tmp_path: Path) -> None:
    with metered(torch.device("cpu"), resumed=False, world=world(tmp_path)) as found:
        pass
    assert found["status"] == "not_measured" and "gross_j" not in found
    assert energy_words(found).startswith("not measured: no meter works here")


def test_a_counter_that_goes_away_gives_no_figure_and_an_error_inside_stays_one(tmp_path: Path) -> None:
    root = with_rapl(tmp_path)
    with metered(torch.device("cpu"), resumed=False, world=world(root)) as found:
        (root / ENERGY).unlink()
    assert found["status"] == "not_measured" and found["reason"]
    with pytest.raises(KeyboardInterrupt), metered(torch.device("cpu"), False, world(with_rapl(tmp_path / "b"))):
        raise KeyboardInterrupt
