"""Which samples are shown as changed, and in which order."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from edgeft.data.dataset import Example
from edgeft.evaluation import run
from edgeft.evaluation.accuracy import Answers
from edgeft.evaluation.changed import SHOWN, changed, score_of_right, thumbnail
from tests.evaluation.make_bundle import float_model, make_bundle

LABELS = ("no", "yes")


def answers(new: list[list[float]], labels: list[int]) -> Answers:
    """The baseline is sure of the right answer (logits 0 and 2); `new` are the variant's logits."""
    base = np.zeros((len(labels), 2), np.float32)
    base[np.arange(len(labels)), labels] = 2
    return Answers(np.arange(len(labels)), np.array(labels), {"original": base, "int8": np.array(new, np.float32)})


def told(given: Answers, texts: list[str]):
    pairs = zip(texts, given.labels, strict=True)
    examples = [Example(f"row {i}", text, int(label)) for i, (text, label) in enumerate(pairs)]
    predicted = {name: logits.argmax(axis=1) for name, logits in given.logits.items()}
    return changed("original", predicted, given, examples, LABELS)["variants"]["int8"]


def test_the_largest_loss_of_the_right_answer_comes_first():
    given = answers([[1, 0], [0, 3], [4, 0], [1, 0]], [1, 1, 1, 0])
    found = told(given, ["a little lost", "kept", "much lost", "kept too"])
    assert found["n"] == 2
    assert [one["text"] for one in found["samples"]] == ["much lost", "a little lost"]
    first = found["samples"][0]
    assert (first["label"], first["before"], first["after"], first["position"]) == ("yes", "yes", "no", 2)
    # softmax: 1 / (1 + e^-2) before, 1 / (1 + e^4) after
    assert first["score_before"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert first["score_after"] == pytest.approx(1 / (1 + np.exp(4)), abs=1e-6)


def test_no_more_are_shown_than_a_page_takes():
    given = answers([[5, 0]] * 100, [1] * 100)
    found = told(given, ["x" * 1000] * 100)
    assert found["n"] == 100 and len(found["samples"]) == SHOWN == 24
    assert len(found["samples"][0]["text"]) == 240 and found["samples"][0]["text"].endswith("…")


def test_score_of_the_right_label_does_not_overflow():
    scores = score_of_right(np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32), np.array([0, 1]))
    assert scores.tolist() == [1.0, 0.5]


def test_a_thumbnail_is_small_and_upright(tmp_path):
    picture = Image.new("RGB", (800, 400), (200, 30, 30))
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "a.jpg", exif=exif)
    uri = thumbnail(tmp_path / "a.jpg")
    small = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert small.size == (56, 112) and len(uri) < 4000
    assert thumbnail(tmp_path / "absent.jpg") is None


def test_eval_writes_them_with_thumbnails_and_shows_them(spec, tmp_path):
    models = {"original": float_model(), "int8": float_model(bias=(0.0, 0.0, 1.0))}
    result = run.evaluate(spec(bundle=make_bundle(tmp_path / "b", n=9, models=models).path))
    found = result.changed()["variants"]["int8"]
    assert found["n"] == 6 and {one["after"] for one in found["samples"]} == {"blue"}
    assert (result.path / "report.html").read_text().count('src="data:image/jpeg;base64,') == 6
