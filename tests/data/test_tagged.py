from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeft.data.columns import Columns
from edgeft.data.dataset import Dataset
from edgeft.data.read import READERS, read_dataset
from edgeft.data.splits_record import read_split, write_splits
from edgeft.data.words import Words
from edgeft.errors import DataError
from edgeft.tasks.eval_examples import read_examples, write_examples

TRAIN = "-DOCSTART- -X- O O\n\nAnn NNP B-NP B-per\nsees VB O O\nNew NNP B-NP B-loc\nYork NNP I-NP I-loc\n\nrain . O O\n"
TEST = "Bob NNP B-NP B-per\n\nsnow NN O O\n"


def folder(place: Path, **files: str) -> Path:
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text, encoding="utf-8", newline="")
    return place


def read(place: Path, **options: object) -> Dataset:
    return read_dataset(str(place), seed=0, **options)  # type: ignore[arg-type]


def words(dataset: Dataset, split: str) -> list[tuple[str, ...]]:
    return [example.content.words for example in dataset.splits[split]]  # type: ignore[union-attr]


def test_the_word_is_the_first_column_and_the_tag_the_last(tmp_path: Path) -> None:
    found = read(folder(tmp_path, train__conll=TRAIN, dev__conll=TEST, test__conll=TEST))
    assert found.labels == ("O", "B-loc", "I-loc", "B-per", "I-per")
    assert words(found, "train") == [("Ann", "sees", "New", "York"), ("rain",)]
    assert [example.label for example in found.splits["train"]] == [(3, 0, 1, 2), (0,)]
    assert [example.id for example in found.splits["train"]] == ["train.conll:3", "train.conll:8"]
    assert (found.content, found.target) == ("words", "tags")
    assert found.notices[0] == "6 sentences of 2 entity types: train 2, validation 2, test 2"
    assert "the tags are IOB2" in found.notices


@pytest.mark.parametrize(
    "names",
    [("eng.train", "eng.testa", "eng.testb"), ("train.txt", "valid.txt", "test.txt"),
     ("train.tsv", "dev.tsv", "test.tsv"), ("train.bio", "val.bio", "test.bio")],
)  # fmt: skip
def test_names_of_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name, text in zip(names, (TRAIN, TEST, TEST), strict=True):
        (tmp_path / name).write_text(text)
    assert {split: len(examples) for split, examples in read(tmp_path).splits.items()} == {
        "train": 2, "validation": 2, "test": 2,
    }  # fmt: skip


def test_tabs_windows_lines_and_blanks_that_are_words(tmp_path: Path) -> None:
    text = "\ufeffNew York\tB-loc\r\n\u2028\tO\r\n\t\r\n\u00a0\tO\r\nBob\tB-per\r\n"
    found = read(folder(tmp_path, train__conll=text, dev__conll=TEST, test__conll=TEST))
    assert words(found, "train") == [("New York", "\u2028"), ("\u00a0", "Bob")]


def test_one_file_is_split_so_that_every_part_has_every_type(tmp_path: Path) -> None:
    sentences = [f"w{i} B-{'ab'[i % 2]}\nx O\n" for i in range(40)] + [f"plain{i} O\n" for i in range(20)]
    (tmp_path / "all.conll").write_text("\n".join(sentences))
    found = read(tmp_path / "all.conll")
    assert {split: len(examples) for split, examples in found.splits.items()} == {
        "train": 48, "test": 6, "validation": 6,
    }  # fmt: skip
    for examples in found.splits.values():
        assert {id_ for example in examples for id_ in example.label} == {0, 1, 3}  # O, B-a, B-b


def test_jsonl_with_tokens_and_tags(tmp_path: Path) -> None:
    rows = [{"tokens": ["Ann", "sees"], "ner_tags": ["I-per", "O"]}, {"tokens": ["rain"], "ner_tags": ["O"]}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    found = read(folder(tmp_path, train__jsonl=text, dev__jsonl=text, test__jsonl=text))
    assert words(found, "train") == [("Ann", "sees"), ("rain",)]
    assert "the tags are IOB1 and are turned into IOB2" in found.notices
    assert found.splits["train"][0].label == (1, 0)


def test_jsonl_with_columns_of_other_names(tmp_path: Path) -> None:
    text = json.dumps({"w": ["Ann"], "t": ["B-per"]}) + "\n"
    found = read(folder(tmp_path, train__jsonl=text, dev__jsonl=text, test__jsonl=text),
                 text_column="w", label_column="t")  # fmt: skip
    assert words(found, "train") == [("Ann",)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Ann B-per\nsees\n", "train.conll:2 has no tag"),
        ("Ann B-per\n\nBob person\n", "train.conll:3: the tag 'person' has no prefix such as B- or I-"),
        ("Ann B-\n", "train.conll:1: the tag 'B-' has no type behind its prefix"),
        ("\n\n", "train.conll holds no sentences"),
        ("", "train.conll is an empty file and holds no sentences"),
        ("a O\nb O\n", "has no entity: every tag is O"),
        ("Ann S-per\n\nBob U-per\n", "the tags mix two schemes"),
    ],
)
def test_bad_files_are_told_by_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    folder(tmp_path, train__conll=text, dev__conll="x O\n", test__conll="y O\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert said in str(caught.value) and caught.value.next_step


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "train.jsonl:1 has 2 words and 1 tags"),
        ({"tokens": [], "tags": []}, "train.jsonl:1 has no words"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "train.jsonl:1: word 2 is empty"),
        ({"tokens": ["a"], "tags": [3]}, "numbers say nothing without their names"),
        ({"tokens": ["a"]}, "train.jsonl:1 has no 'tags', the list of tags"),
        ({"tokens": ["a"], "tags": ["per"]}, "train.jsonl:1: the tag 'per' has no prefix"),
    ],
)
def test_bad_lines_of_jsonl(tmp_path: Path, row: dict[str, object], said: str) -> None:
    folder(tmp_path, train__jsonl=json.dumps(row) + "\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "train.jsonl")
    assert said in str(caught.value)


def test_a_type_that_training_never_sees(tmp_path: Path) -> None:
    folder(tmp_path, train__conll=TRAIN, dev__conll=TEST, test__conll="Oslo B-city\n")
    with pytest.raises(DataError, match=r"the type 'city' is in the test split of .* \(1 entities\) and not in train"):
        read(tmp_path)


def test_two_files_of_one_split(tmp_path: Path) -> None:
    folder(tmp_path, train__conll=TRAIN, dev__conll=TEST, valid__conll=TEST)
    with pytest.raises(DataError, match="which both mean the validation split"):
        read(tmp_path)


def test_copies_and_contradictions_are_told(tmp_path: Path) -> None:
    folder(tmp_path, train__conll="Ann B-per\nsees O\n\nrain O\n", dev__conll="snow O\n",
           test__conll="Ann O\nsees O\n")  # fmt: skip
    found = read(tmp_path)
    assert "1 of the 1 test examples are exact copies of train examples" in found.notices
    assert any("the first, test.conll:1, has 'Ann' as O, and train.conll:1 as B-per" in line for line in found.notices)


@pytest.mark.parametrize(
    ("name", "text"),
    [("train.csv", "text,label\nhi,a\n"), ("train.tsv", "text\tlabel\nhi\ta\nho\tb\n"),
     ("train.jsonl", '{"text": "hi", "label": "a", "more": [1]}\n'), ("train.txt", "some words\n")],
)  # fmt: skip
def test_other_tables_are_left_to_the_table_reader(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert not READERS.load("tagged-sentences").can_read(str(tmp_path / name))


def test_sentences_are_stored_and_come_back(tmp_path: Path) -> None:
    found = read(folder(tmp_path / "data", train__conll=TRAIN, dev__conll=TEST, test__conll=TEST))
    write_splits(tmp_path / "splits.jsonl", found)
    assert read_split(tmp_path / "splits.jsonl", "train", tmp_path) == list(found.splits["train"])
    write_examples(tmp_path / "bundle", found.splits["train"], found.labels)
    line = json.loads((tmp_path / "bundle/eval/examples.jsonl").read_text().splitlines()[0])
    assert (line["tokens"], line["tags"]) == (["Ann", "sees", "New", "York"], ["B-per", "O", "B-loc", "I-loc"])
    # ids follow the names, not the order of the labels
    other = ("B-per", "I-loc", "B-loc", "O", "I-per")
    assert read_examples(tmp_path / "bundle", other)[0].label == (0, 3, 2, 1)


def test_a_group_column_means_nothing_here(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no group column"):
        READERS.load("tagged-sentences").read(
            str(folder(tmp_path, train__conll=TRAIN) / "train.conll"), Columns(group="who"), True
        )


def test_where_a_word_ends_is_part_of_its_hash() -> None:
    assert Words(("New York",)).sha256 != Words(("New", "York")).sha256
