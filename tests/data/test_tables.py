from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from edgeft.data.columns import Columns
from edgeft.data.dataset import Dataset
from edgeft.data.read import read_dataset
from edgeft.data.tables import read_table, table_rows
from edgeft.errors import DataError

TWO = b"text,label\nhi,a\nbye,b\n"


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def pairs(path: Path, **columns: str | None) -> list[tuple[str, str]]:
    return [(row.content, row.label) for row in table_rows(read_table(path), Columns(**columns))]  # type: ignore[arg-type]


def folder(tmp_path: Path, **files: bytes) -> Path:
    for name, content in files.items():
        write(tmp_path / name.replace("_", "."), content)
    return tmp_path


def read(path: Path, **options: str) -> Dataset:
    return read_dataset(str(path), seed=0, **options)  # type: ignore[arg-type]


def test_folder_of_splits(tmp_path: Path) -> None:
    data = read(
        folder(tmp_path, train_csv=TWO, dev_tsv=TWO.replace(b",", b"\t"), test_jsonl=b'{"text":"x","label":"a"}')
    )
    assert data.content == "text"
    assert data.labels == ("a", "b")
    assert [(e.id, e.content, e.label) for e in data.splits["validation"]] == [
        ("dev.tsv:2", "hi", 0),
        ("dev.tsv:3", "bye", 1),
    ]
    assert [(e.id, e.content, e.label) for e in data.splits["test"]] == [("test.jsonl:1", "x", 0)]
    assert data.split_rule == "as given"
    assert "the test split has no example of b" in data.notices


def test_one_file_is_split(tmp_path: Path) -> None:
    lines = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40))
    data = read(write(tmp_path / "all.csv", f"text,label\n{lines}".encode()))
    assert {split: len(examples) for split, examples in data.splits.items()} == {
        "train": 32,
        "validation": 4,
        "test": 4,
    }


def test_byte_order_mark(tmp_path: Path) -> None:  # D17
    path = write(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\r\nhi,1\r\n")
    assert pairs(path) == [("hi", "1")]


def test_utf16_as_excel_saves_unicode_text(tmp_path: Path) -> None:  # D17
    path = write(tmp_path / "a.tsv", codecs.BOM_UTF16_LE + "text\tlabel\r\ngrün\t1\r\n".encode("utf-16-le"))
    assert pairs(path) == [("grün", "1")]


def test_empty_text_and_missing_label_are_named_by_line(tmp_path: Path) -> None:  # D19
    path = write(tmp_path / "train.csv", b"text,label\none,a\n ,b\nthree,a\nfour,\n")
    with pytest.raises(DataError, match=r"train.csv: line 3 has no text, line 5 has no label; fill in"):
        read(path)


def test_null_text_in_json_lines(tmp_path: Path) -> None:  # D19
    path = write(tmp_path / "train.jsonl", b'{"text":"a","label":1}\n{"text":null,"label":1}\n{"text":"c"}\n')
    with pytest.raises(DataError, match="line 2 has no text, line 3 has no label"):
        read(path)


def test_nan_in_json_lines_is_a_missing_label(tmp_path: Path) -> None:  # D19
    path = write(tmp_path / "train.jsonl", b'{"text":"a","label":"x"}\n{"text":"b","label":NaN}\n')
    with pytest.raises(DataError, match="line 2 has no label"):
        read(path)


@pytest.mark.parametrize("row", [b'{"text":"a","label":["x"]}', b'{"text":{"de":"a"},"label":"x"}'])
def test_lists_and_objects_are_no_text_and_no_label(tmp_path: Path, row: bytes) -> None:  # D22
    path = write(tmp_path / "train.jsonl", b'{"text":"a","label":"x"}\n' + row + b"\n")
    with pytest.raises(DataError, match="line 2 has a list or an object where a text and a label belong"):
        read(path)


def test_line_breaks_and_quotes_inside_quotes(tmp_path: Path) -> None:  # D20
    path = write(tmp_path / "a.csv", b'text,label\r\n"a, ""q""\r\nsecond line",x\r\nMen \'S Shoes,y\r\nplain,z\r\n')
    assert pairs(path) == [('a, "q"\r\nsecond line', "x"), ("Men 'S Shoes", "y"), ("plain", "z")]
    rows = table_rows(read_table(path), Columns())
    assert [row.id for row in rows] == ["a.csv:2", "a.csv:4", "a.csv:5"]


def test_bare_carriage_return(tmp_path: Path) -> None:  # D20
    with pytest.raises(DataError, match="row that begins on line 3 is broken"):
        pairs(write(tmp_path / "a.csv", b"text,label\none,a\ntwo\rthree,b\n"))
    assert pairs(write(tmp_path / "b.csv", b'text,label\n"two\rthree",b\n')) == [("two\rthree", "b")]


def test_quote_that_is_never_closed(tmp_path: Path) -> None:  # D20
    with pytest.raises(DataError, match="row that begins on line 3 is broken"):
        pairs(write(tmp_path / "a.csv", b'text,label\none,a\n"two,b\nthree,a\nfour,b\n'))


def test_inch_mark_inside_a_field_is_no_quote(tmp_path: Path) -> None:  # D20
    assert pairs(write(tmp_path / "a.csv", b'text,label\n5" pipe,a\n')) == [('5" pipe', "a")]


def test_row_with_a_comma_too_many(tmp_path: Path) -> None:  # D20
    with pytest.raises(DataError, match="line 2 has 3 fields and the first line names 2 columns"):
        pairs(write(tmp_path / "a.csv", b"text,label\none, two,a\n"))


@pytest.mark.parametrize(("labels", "expected"), [("125", ("1", "2", "5")), (("0", "1", "-1"), ("-1", "0", "1"))])
def test_labels_with_gaps_get_ids_without(tmp_path: Path, labels: str, expected: tuple[str, ...]) -> None:  # D21
    lines = "".join(f"text {i},{label}\n" for i, label in enumerate([*labels] * 5))
    data = read(write(tmp_path / "a.csv", f"text,label\n{lines}".encode()))
    assert data.labels == expected
    assert {example.label for examples in data.splits.values() for example in examples} == {0, 1, 2}
    assert any('the label "-1"' in line for line in data.notices) == ("-1" in expected)


def test_labels_are_text(tmp_path: Path) -> None:  # D22
    rows = "a,01\nb,1\nc,1.0\n"
    path = folder(tmp_path, train_csv=f"text,label\n{rows}".encode(), dev_csv=TWO_NUMBERS, test_csv=TWO_NUMBERS)
    data = read(path)
    assert data.labels == ("01", "1", "1.0")
    assert (
        "labels differ only in how the number is written and stay different classes: '01' and '1' and '1.0'"
        in data.notices
    )


TWO_NUMBERS = b"text,label\nx,01\ny,1\nz,1.0\n"


def test_numbers_in_json_stay_as_written(tmp_path: Path) -> None:  # D22
    path = write(tmp_path / "a.jsonl", b'{"text":"a","label":1}\n{"text":"b","label":1.10}\n{"text":"c","label":true}')
    assert pairs(path) == [("a", "1"), ("b", "1.10"), ("c", "true")]


def test_labels_that_differ_in_capitals(tmp_path: Path) -> None:  # D22
    content = b"text,label\nx,Yes\ny,yes\n"
    data = read(folder(tmp_path, train_csv=content, dev_csv=content, test_csv=content))
    assert "labels differ only in capitals and stay different classes: 'Yes' and 'yes'" in data.notices


def test_space_around_a_label_is_no_class(tmp_path: Path) -> None:
    assert pairs(write(tmp_path / "a.csv", b"text,label\n x , a \n")) == [(" x ", "a")]


def test_one_class(tmp_path: Path) -> None:  # D23
    with pytest.raises(DataError, match="only one class, 'a'"):
        read(write(tmp_path / "a.csv", b"text,label\none,a\ntwo,a\nthree,a\n"))


def test_label_seen_in_test_only(tmp_path: Path) -> None:  # D04
    with pytest.raises(DataError, match=r"'c' is in the test split of .* \(1 examples\) and not in train"):
        read(folder(tmp_path, train_csv=TWO, dev_csv=TWO, test_csv=b"text,label\nx,c\n"))


def test_columns_taken_are_told(tmp_path: Path) -> None:
    content = b"say,intent\nhi,a\nbye,b\n"
    data = read(folder(tmp_path, train_csv=content, dev_csv=content, test_csv=content))
    assert data.notices[1] == "the text is column 'say' and the label column 'intent'"
    data = read(folder(tmp_path, test_csv=b"text,label\nhi,a\nbye,b\n"))
    assert "in test.csv the text is column 'text' and the label column 'label'" in data.notices


@pytest.mark.parametrize("header", ["Text,Label", "sentence,intent", "utterance,class", "anything,category"])
def test_columns_found_by_usual_names(tmp_path: Path, header: str) -> None:
    assert pairs(write(tmp_path / "a.csv", f"{header}\nhi,a\n".encode())) == [("hi", "a")]


def test_columns_named_by_the_user(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"text,label,say,mood\nhi,a,hello,glad\n")
    assert pairs(path) == [("hi", "a")]
    assert pairs(path, text="say", label="mood") == [("hello", "glad")]
    with pytest.raises(
        DataError, match=r"no column 'moot'; it has 'text', 'label', 'say', 'mood'; did you mean 'mood'"
    ):
        pairs(path, label="moot")


def test_no_label_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column with a usual name for the label.*--label-column NAME"):
        pairs(write(tmp_path / "a.csv", b"how are you,fine\nhi,a\n"))


def test_column_named_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two columns called 'label'"):
        pairs(write(tmp_path / "a.csv", b"text,label,label\nhi,a,b\n"))


def test_semicolons(tmp_path: Path) -> None:
    assert pairs(write(tmp_path / "a.csv", b'text;label\n"hi; there, you";a\n')) == [("hi; there, you", "a")]


def test_commas_in_a_table_of_tabs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its columns are parted otherwise than its suffix says: .csv by comma"):
        pairs(write(tmp_path / "a.tsv", b"text,label\nhi,a\n"))


def test_text_beyond_the_field_limit_of_csv(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert pairs(write(tmp_path / "a.csv", f"text,label\n{long},a\n".encode()))[0][0] == long


def test_line_separator_inside_json_is_no_new_line(tmp_path: Path) -> None:
    line = json.dumps({"text": "one\u2028two", "label": "a"}, ensure_ascii=False)
    assert pairs(write(tmp_path / "a.jsonl", line.encode())) == [("one\u2028two", "a")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "an empty file"),
        ("a.csv", b"<!doctype html>", "an HTML page"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", b"text,label\nx,a\ncaf\xe9,b\n", r"line 3 is not UTF-8 \(byte 0xe9\)"),
        ("a.jsonl", b'{"text":"x","label":"a"}\nnonsense\n', "line 2 is not JSON"),
        ("a.jsonl", b"[1, 2]\n", "line 1 is no JSON object"),
        ("a.jsonl", b'{"text":"\\ud83d","label":"a"}\n', "line 1 has half of a character"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        pairs(write(tmp_path / name, content))


def test_folder_without_a_training_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is named train; did you mean .*intents.csv"):
        read(folder(tmp_path, intents_csv=TWO))


def test_two_tables_for_one_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both 'train.csv' and 'train.tsv'"):
        read(folder(tmp_path, train_csv=TWO, train_tsv=TWO))


def test_same_text_in_train_and_test(tmp_path: Path) -> None:
    other = b"text,label\nhi,a\nnew,b\n"
    data = read(folder(tmp_path, train_csv=TWO, dev_csv=other, test_csv=other))
    assert "1 of the 2 test examples are exact copies of train examples" in data.notices
