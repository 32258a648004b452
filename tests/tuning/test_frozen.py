"""Features of a frozen backbone: computed once, kept by content, and the head trained on them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgeft.data.dataset import Example
from edgeft.tasks import TASKS
from edgeft.tuning import frozen, store
from edgeft.tuning.batches import Collate, Variation
from edgeft.tuning.frozen import Backbone, Subject, head_on_features, on_features
from edgeft.tuning.score import Judge
from edgeft.tuning.store import FeatureStore
from tests.tuning import small

DESCRIPTION = {
    "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255],
    "height": 32, "width": 32, "resize": {"rule": "exact", "height": 32, "width": 32}, "resample": "bilinear",
    "rescale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "input": "pixel_values",
}  # fmt: skip


class Net(nn.Module):
    """Channel means, a dropout that must be off, and a linear head; counts how often it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]), requires_grad=False)
        self.drop, self.classifier, self.calls = nn.Dropout(0.5), nn.Linear(3, 2), 0

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        self.calls += len(pixel_values)
        return self.classifier(self.drop(pixel_values.mean((2, 3)) * self.scale))


def brighter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image + np.float32(rng.random())


@pytest.fixture
def data(tmp_path: Path) -> Any:
    dataset = small.image_dataset(tmp_path / "data")
    task = TASKS.load("image-classification")
    encoder = task.encoder(DESCRIPTION, tmp_path)
    return dataset, encoder, Judge(task, encoder, dataset.splits, dataset.labels, 8)


def features(model: Net, encoder: Any, examples: Any, augment: Any = None, views: int = 1) -> np.ndarray:
    collate = Collate(encoder, 0, Variation(augment))
    return Backbone(model, model.classifier, {}).features(examples, collate, views, lambda n: None)


def test_the_head_answers_on_features_what_the_model_answers(data: Any) -> None:
    dataset, encoder, judge = data
    model = Net()
    examples = dataset.splits["test"]
    rows = features(model, encoder, examples)
    assert rows.shape == (12, 1, 3)
    logits = model.classifier(torch.from_numpy(rows[:, 0])).detach().numpy()
    np.testing.assert_allclose(logits, judge.logits(model, "test"), atol=1e-6)


def test_what_was_computed_once_is_read_whatever_the_head_and_the_names(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, encoder, _ = data
    first, second = Net(), Net()
    rows = features(first, encoder, dataset.splits["train"])
    assert first.calls == 24
    moved = []
    for example in dataset.splits["train"]:
        place = tmp_path / "elsewhere" / example.id.replace("/", "-")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(Path(example.content).read_bytes())
        moved.append(Example(place.name, place, example.label))
    again = features(second, encoder, moved[::-1])
    assert second.calls == 0 and np.array_equal(again[::-1], rows)
    other = Net()
    with torch.no_grad():
        other.scale[0] = 5.0
    features(other, encoder, moved)
    assert other.calls == 24  # another backbone
    monkeypatch.setattr(frozen, "__version__", "9")
    features(first, encoder, dataset.splits["train"])
    assert first.calls == 48  # another release


def test_a_pass_that_is_cut_off_goes_on_where_it_was(data: Any) -> None:
    dataset, encoder, _ = data
    one_by_one = [[example] for example in dataset.splits["train"]]

    before, after = Net(), Net()

    def cut(*given: Any) -> None:
        if before.calls == 5:
            raise KeyboardInterrupt

    before.register_forward_pre_hook(cut)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(frozen, "batch_for", lambda *given: 1)
        features(before, encoder, dataset.splits["train"])
    rows = features(after, encoder, dataset.splits["train"])
    assert after.calls == len(one_by_one) - 5
    assert np.array_equal(rows, np.concatenate([features(Net(), encoder, part) for part in one_by_one]))


def test_a_killed_pass_loses_what_came_after_the_last_write(
    data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = iter(range(0, 10_000, 7))  # seven seconds pass whenever somebody looks
    monkeypatch.setattr(store.time, "monotonic", lambda: float(next(clock)))
    kept = FeatureStore("somewhere", tmp_path)
    rows: dict[str, np.ndarray] = {}
    found = []
    for number in range(6):
        rows[str(number)] = np.ones(4, np.float32)
        kept.write_when_due(rows)
        found.append(len(FeatureStore("somewhere", tmp_path).read()))
    # Opened at 0 s and due at 20. Asked at 7, and (each reader opens at the look between) at 21: written then, which
    # took 7 s, so it is due again 140 s after the 28th.
    assert found == [0, 2, 2, 2, 2, 2]


def test_views_are_varied_and_the_same_in_every_run(data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dataset, encoder, _ = data
    rows = features(Net(), encoder, dataset.splits["train"], brighter, views=3)
    assert rows.shape == (24, 3, 3) and len(np.unique(rows[:, :, 0].round(6))) == 72
    monkeypatch.setenv("EDGEFT_CACHE", str(tmp_path / "empty"))
    again = features(Net(), encoder, dataset.splits["train"][::-1], brighter, views=3)[::-1]
    np.testing.assert_allclose(again, rows, atol=1e-6)


def test_only_a_head_that_reads_a_vector_and_gives_the_answer_is_trained_alone(data: Any) -> None:
    dataset, encoder, judge = data
    model = Net()
    subject = Subject(model, judge, dataset.splits["train"], Collate(encoder, 0))
    found = on_features(subject, dataset.splits["validation"], 2, 0, {})
    assert found is not None and found.model.head is model.classifier  # type: ignore[union-attr]
    assert found.judge.scores(found.model, "validation").value == judge.scores(model, "validation").value
    model.scale.requires_grad_(True)
    assert on_features(subject, dataset.splits["validation"], 2, 0, {}) is None
    batch = {"pixel_values": torch.rand(2, 3, 8, 8)}

    class Twice(Net):
        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(pixel_values)

    assert head_on_features(Twice(), batch) is None and head_on_features(Net(), batch) is not None


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_run_with_a_frozen_backbone_reads_it_once(
    kind: str, tune_on: Any, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = {"image": (small.image_dataset, small.save_timm), "text": (small.text_dataset, small.save_bert)}
    dataset, save = make[kind]
    options: dict[str, Any] = {"augment": "crop", "views": 4} if kind == "image" else {}
    options |= {"model": str(save(tmp_path / "m")), "freeze": "backbone", "epochs": 8.0, "scheme": "none", "lr": 1e-2}
    run = tune_on(dataset(tmp_path / "data"), **options)
    said = capsys.readouterr().out
    assert f"({'4 varied views' if kind == 'image' else 'one view'} of each example) is kept" in said
    assert run.document["frozen"] and all(e["sha256_before"] == e["sha256_after"] for e in run.document["frozen"])
    monkeypatch.setattr(frozen.Backbone, "_compute", None)  # nothing is left to compute
    again = tune_on(dataset(tmp_path / "data"), **options, output=tmp_path / "again")
    assert again.scores_of("float") == run.scores_of("float")


def test_a_damaged_file_holds_nothing_and_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"a": np.ones(4, np.float32)}
    for number in range(3):
        FeatureStore(str(number), tmp_path).write(rows)
        os.utime(FeatureStore(str(number), tmp_path)._place, (number, number))
    assert FeatureStore("0", tmp_path).read()["a"].tolist() == [1, 1, 1, 1]
    os.utime(FeatureStore("0", tmp_path)._place, (0, 0))
    size = FeatureStore("0", tmp_path)._place.stat().st_size
    monkeypatch.setattr(store, "_LARGEST_BYTES", 2 * size)
    FeatureStore("3", tmp_path).write(rows)
    left = [number for number in range(4) if FeatureStore(str(number), tmp_path)._place.exists()]
    assert left == [2, 3]
    FeatureStore("3", tmp_path)._place.write_bytes(b"cut")
    assert FeatureStore("3", tmp_path).read() == {}
