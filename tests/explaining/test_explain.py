"""What is told of the parts of an example, where it can be computed by hand, and the whole command on small runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("captum")

from edgeft.cli import group
from edgeft.errors import UsageError
from edgeft.explaining.hiding import Squares, Tokens
from edgeft.explaining.page import overlaid
from edgeft.explaining.run import choose, explain
from edgeft.outcome import of
from edgeft.runfolder import Run
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.text_encoder import TextEncoder
from tests.exporting import runs


class Bright(nn.Module):
    """Two classes: the first is as likely as the pixel in row 2, column 2 is bright."""

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        spot = pixel_values[:, :, 2, 2].mean(dim=1)
        return torch.stack([spot, torch.zeros_like(spot)], dim=1)


def encoder(side: int = 20) -> ImageEncoder:
    how = runs._IMAGE | {"resize": {"rule": "exact", "height": side, "width": side}, "height": side, "width": side}
    return ImageEncoder(how)


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))


def test_only_the_squares_over_what_counts_are_important(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("RGB", (20, 20), (255, 255, 255)).save(path)
    found = Squares(encoder()).importance(Bright(), path, 0)
    # 20 pixels: squares of 4, moved by 2. White is (1 - 0.5) / 0.25 = 2; hidden it is 0.
    lost = log_sigmoid(2) - log_sigmoid(0)
    assert found.shape == (10, 10)
    # Pixel (2, 2) lies in the squares from 0 and from 2, each way. A step's middle, pixel 2 k + 1, is covered by the
    # squares from 2 k and 2 k - 2, and shows the mean of their figures.
    along = {0: 1.0, 1: 1.0, 2: 0.5}  # of step k, the share of its squares that hold the spot
    for row, column in np.ndindex(found.shape):
        expected = lost * along.get(row, 0.0) * along.get(column, 0.0)
        assert found[row, column] == pytest.approx(expected, abs=1e-6), (row, column)


class Counts(nn.Module):
    """The first class is as likely as often token 7 (the word w3) occurs."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor):
        often = ((input_ids == 7) * attention_mask).sum(dim=1).float()
        return torch.stack([often, torch.zeros_like(often)], dim=1)


@pytest.fixture
def texts(tmp_path: Path) -> TextEncoder:
    runs._tokenizer(tmp_path / "tokenizer.json")
    return TextEncoder(runs._TEXT, tmp_path)


def test_each_word_counts_what_hiding_it_takes(texts: TextEncoder) -> None:
    hiding = Tokens(texts)
    assert hiding.shown("w1  w3 w2 w3") == ("w1", "w3", "w2", "w3")
    found = hiding.importance(Counts(), "w1  w3 w2 w3", 0)
    one = log_sigmoid(2) - log_sigmoid(1)
    assert found == pytest.approx([0, one, 0, one], abs=1e-6)
    # for the other class the same words speak against it
    other = log_sigmoid(-2) - log_sigmoid(-1)
    assert hiding.importance(Counts(), "w1  w3 w2 w3", 1) == pytest.approx([0, other, 0, other], abs=1e-6)


def test_an_empty_text_and_one_word(texts: TextEncoder) -> None:
    assert len(Tokens(texts).importance(Counts(), "", 0)) == 0
    assert Tokens(texts).importance(Counts(), "w3", 0) == pytest.approx([log_sigmoid(1) - log_sigmoid(0)], abs=1e-6)


def test_fixed_lengths_and_padding_on_the_left(tmp_path: Path) -> None:
    runs._tokenizer(tmp_path / "tokenizer.json")
    fixed = TextEncoder(runs._TEXT | {"pad_to": 12, "padding_side": "left"}, tmp_path)
    words, places = fixed.words("w3 w1")
    assert words == ("w3", "w1")
    assert places.tolist() == [-1] * 9 + [0, 1, -1]  # eight of padding, [CLS], two words, [SEP]
    found = Tokens(fixed).importance(Counts(), "w3 w1", 0)
    assert found == pytest.approx([log_sigmoid(1) - log_sigmoid(0), 0], abs=1e-6)


def test_colours_are_as_strong_as_the_figures() -> None:
    grey = np.full((2, 4, 3), 100, np.uint8)
    painted = overlaid(grey, np.array([[1.0, 1.0], [1.0, 1.0]]), most=1.0)
    assert painted[0, 0].tolist() == [25, 110, 158]  # a quarter of 100 and three of (0, 114, 178), to the next even
    assert overlaid(grey, -np.ones((2, 2)), most=2.0)[0, 0].tolist() == [142, 98, 62]  # 5/8 of 100, 3/8 of orange
    assert (overlaid(grey, np.zeros((2, 2)), most=0.0) == 100).all()


def attentive() -> nn.Module:
    """A BERT whose answer hangs on the words: larger weights than a fresh one has, to which all words are alike."""
    model = runs.text_model()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(10)
    return model


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make_run(tmp_path_factory.mktemp("text"), model=attentive())


@pytest.mark.parametrize("kind", ["text", "image"])
def test_the_whole_command(kind: str, text_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = text_run if kind == "text" else runs.make_run(tmp_path / "made", "image", n_test=6)
    output = tmp_path / "explained"
    assert of(group, ["explain", str(run), "--samples", "3", "-o", str(output)]) == 0
    document = json.loads((output / "explained.json").read_text())
    assert document["models"] == ["original", "int8"] and len(document["samples"]) == 3
    ids = {example.id for example in Run.open(run).examples("test")}
    maps = np.load(output / "importance.npz")
    for entry in document["samples"]:
        assert entry["id"] in ids
        both = [maps[f"{name}/{entry['id']}"] for name in ("original", "int8")]
        # int8 is not the original, and not far from it
        assert 0 < np.abs(both[0] - both[1]).max() < 0.5 * np.abs(both[0]).max()
        assert entry["asked"] == entry["answers"]["original"]["answer"]
        assert 0.7 < entry["rank_correlation"] <= 1
    said = capsys.readouterr().out
    assert "The most important part is the same in" in said
    assert max(len(line) for line in said.splitlines() if not line.startswith("written to ")) <= 80
    page = (output / "explained.html").read_text()
    assert page.count("<figure>") == 6 and "http" not in page.split("</style>")[1]


def test_samples_by_name_and_by_number(text_run: Path) -> None:
    examples = Run.open(text_run).examples("test")
    assert [one.id for one in choose(examples, "0099, 0061", 0)] == ["0099", "0061"]
    assert len(choose(examples, "5", 0)) == 5 == len({one.id for one in choose(examples, "5", 0)})
    assert choose(examples, "5", 0) != choose(examples, "5", 1)
    assert len(choose(examples, "1000", 0)) == len(examples)
    with pytest.raises(UsageError, match="no example 'x61'"):
        choose(examples, "x61", 0)
    with pytest.raises(UsageError, match="at least 1"):
        choose(examples, "0", 0)


def test_what_cannot_be_explained_is_refused_before_any_work(text_run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        explain(text_run, "2", 0, tmp_path / "there")
    plain = runs.make_run(tmp_path / "plain", scheme="none")
    with pytest.raises(UsageError, match="no quantized model"):
        explain(plain, "2", 0, tmp_path / "out")
    document = json.loads((plain / "tuned.json").read_text())
    (plain / "tuned.json").write_text(json.dumps(document | {"task": "token-classification", "scheme": "u8s8"}))
    with pytest.raises(UsageError, match="token-classification cannot be explained"):
        explain(plain, "2", 0, tmp_path / "out")
