from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from edgeft.data.dataset import Example
from edgeft.errors import DataError, FolderError
from edgeft.tasks.eval_examples import read_examples, write_examples
from tests.data.pictures import save

LABELS = ("cat", "dög")


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    photo = save(tmp_path / "data/dög/Füße 1.JPG", seed=1)
    return [Example("dög/Füße 1.JPG", photo, 1), Example("cat/a.png", save(tmp_path / "data/cat/a.png", seed=2), 0)]


def lines(bundle: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (bundle / "eval/examples.jsonl").read_text("utf-8").splitlines()]


def test_images_are_copied_byte_for_byte(tmp_path: Path, examples: list[Example]) -> None:
    record = write_examples(tmp_path / "bundle", examples, LABELS)
    content = examples[0].content.read_bytes()  # type: ignore[union-attr]
    assert lines(tmp_path / "bundle")[0] == {
        "id": "dög/Füße 1.JPG",
        "label": "dög",
        "file": "eval/00000.jpg",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (tmp_path / "bundle/eval/00000.jpg").read_bytes() == content
    listed = (tmp_path / "bundle/eval/examples.jsonl").read_bytes()
    assert record == {"file": "eval/examples.jsonl", "n": 2, "sha256": hashlib.sha256(listed).hexdigest()}


def test_examples_come_back(tmp_path: Path, examples: list[Example]) -> None:
    write_examples(tmp_path / "bundle", examples, LABELS)
    found = read_examples(tmp_path / "bundle", LABELS)
    assert [(e.id, e.label) for e in found] == [("dög/Füße 1.JPG", 1), ("cat/a.png", 0)]
    assert found[1].content == tmp_path / "bundle/eval/00001.png"


def test_ids_follow_the_names_not_the_order_of_labels(tmp_path: Path, examples: list[Example]) -> None:  # D05
    write_examples(tmp_path / "bundle", examples, LABELS)
    assert [example.label for example in read_examples(tmp_path / "bundle", ("dög", "x", "cat"))] == [0, 2]


def test_texts_are_kept_whole(tmp_path: Path) -> None:
    text = ' a "q"\r\nsecond\u2028line 😀'
    write_examples(tmp_path, [Example("t.csv:2", text, 0)], LABELS)
    assert read_examples(tmp_path, LABELS)[0].content == text
    assert lines(tmp_path)[0]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_one_changed_byte_is_found(tmp_path: Path, examples: list[Example]) -> None:
    write_examples(tmp_path / "bundle", examples, LABELS)
    image = tmp_path / "bundle/eval/00001.png"
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    with pytest.raises(FolderError, match=r"line 2: eval/00001.png is not what was exported"):
        read_examples(tmp_path / "bundle", LABELS)


def test_missing_image_and_unknown_label(tmp_path: Path, examples: list[Example]) -> None:
    write_examples(tmp_path / "bundle", examples, LABELS)
    with pytest.raises(FolderError, match="label 'dög', which is none of the model's"):
        read_examples(tmp_path / "bundle", ("cat", "dog"))
    (tmp_path / "bundle/eval/00000.jpg").unlink()
    with pytest.raises(FolderError, match=r"00000.jpg is missing"):
        read_examples(tmp_path / "bundle", LABELS)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "eval/../../x", "eval/..", "other/x.jpg", "eval/.x"])
def test_names_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "eval").mkdir()
    line = {"id": "a", "label": "cat", "file": name, "sha256": "0" * 64}
    (tmp_path / "eval/examples.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(FolderError, match="which is not inside eval/"):
        read_examples(tmp_path, LABELS)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"id": "a"}', '{"id":"a","label":"cat","sha256":"0","file":3}'])
def test_damaged_list(tmp_path: Path, line: str) -> None:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/examples.jsonl").write_text(line + "\n")
    with pytest.raises(FolderError, match="line 1 is not an example"):
        read_examples(tmp_path, LABELS)


def test_missing_list_and_gone_image(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"examples.jsonl is missing"):
        read_examples(tmp_path, LABELS)
    with pytest.raises(DataError, match="gone.jpg cannot be read"):
        write_examples(tmp_path, [Example("a", tmp_path / "gone.jpg", 0)], LABELS)
