from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgeft.tuning.fit import fit_lines, fit_of
from edgeft.tuning.plan import class_lines
from tests.tuning import small


def test_texts_that_are_cut_are_counted_by_split(tune_on: Any, tmp_path: Path, capsys: Any) -> None:  # D26
    dataset = small.text_dataset(tmp_path / "data")
    model = str(small.save_bert(tmp_path / "bert"))
    run = tune_on(dataset, model=model, freeze="backbone", scheme="none", max_length=6)
    texts = run.document["data"]["checks"]["texts"]
    # every word is one token, and there are two more around them
    cut = {split: sum(len(e.content.split()) > 4 for e in found) for split, found in dataset.splits.items()}
    assert texts == {"limit_tokens": 6, "cut": cut, "of": {"train": 48, "validation": 24, "test": 24}}
    assert 0 < cut["train"] < 48
    assert f"texts longer than 6 tokens are cut: {cut['train']} of 48 in train" in capsys.readouterr().out


def test_images_smaller_than_the_models_input() -> None:
    class Images:
        content = "image"
        checks = {"images": {"shorter_side_px": {"least": 20, "median": 48, "most": 90}}}

    given: Any = Images()
    fit = fit_of(given, given, {"height": 64, "width": 64})
    assert fit == {"enlarged": {"wanted_px": 64, "median_px": 48}}
    assert "under 49 pixels" in next(fit_lines(fit))
    assert fit_of(given, given, {"height": 48, "width": 48}) == {}


def test_classes_are_listed_with_their_counts(tmp_path: Path) -> None:
    dataset = small.text_dataset(tmp_path)
    assert class_lines(dataset) == [
        "  class        train  validation        test",
        "  food            24          12          12",
        "  travel          24          12          12",
    ]
    many = tuple(f"c{number:02d}" for number in range(20))
    examples = tuple(dataclasses.replace(dataset.splits["train"][0], label=n) for n in range(20) for _ in range(n + 1))
    lines = class_lines(dataclasses.replace(dataset, labels=many, splits={"train": examples}))
    assert len(lines) == 1 + 6 + 1 and lines[-1] == "  and 14 classes more, of 7 to 20 in train"
