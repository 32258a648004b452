"""The table formats: bytes of a file -> column names and rows. One function and one line in FORMATS each."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeft.data.imagefile import what_is
from edgeft.errors import DataError, MachineError
from edgeft.packages import how_to_install

Values = list[str | None]
Parsed = tuple[list[str], list[tuple[int, Values]]]


def content_of(path: Path, but: str) -> bytes:
    """The bytes of `path`. `but` says what a file that is plainly another one is not, or has not.

    Raises DataError: unreadable, empty, a Git LFS pointer, a web page.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    kind = what_is(content)
    if kind.startswith(("an empty", "a Git LFS", "an HTML")):
        raise DataError(f"{path} is {kind} and {but}", "get the file itself")
    return content


def decode_text(content: bytes, path: Path) -> str:
    """UTF-8 with or without a byte order mark, or UTF-16 with one. Raises DataError naming the line otherwise."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} line {line} is not UTF-8 (byte 0x{content[error.start]:02x})",
            f"save it as UTF-8, for instance: iconv -f WINDOWS-1252 -t UTF-8 {path.name}",
        ) from error


def parse_csv(content: bytes, path: Path) -> Parsed:
    """Separated by commas, or by semicolons or tabs when the first line has those and no comma."""
    text = decode_text(content, path)
    head = text.partition("\n")[0]
    return _separated(text, path, next((mark for mark in ",;\t" if mark in head), ","))


def parse_tsv(content: bytes, path: Path) -> Parsed:
    return _separated(decode_text(content, path), path, "\t")


def _separated(text: str, path: Path, delimiter: str) -> Parsed:
    # The field limit of 131,072 characters is the csv module's own; a long document is no error.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    # Lines end at \n only: a lone \r outside quotes is then an error with its line, not a new row.
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows: list[tuple[int, Values]] = []
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}: the row that begins on line {line} is broken ({error})",
                'put a field with quotes or line breaks in quotes, and write a quote inside it as ""',
            ) from error
        if values is None:
            return header, rows
        if not values:
            continue
        if not header:
            header = [name.strip() for name in values]
        elif len(values) != len(header):
            raise DataError(
                f"{path} line {line} has {len(values)} fields and the first line names {len(header)} columns",
                "put a field that holds the separator in double quotes",
            )
        else:
            rows.append((line, list(values)))


def parse_jsonl(content: bytes, path: Path) -> Parsed:
    """One object a line; numbers stay as they are written, true and false become these words."""
    records: list[tuple[int, dict[str, str | None]]] = []
    for line, source in enumerate(decode_text(content, path).split("\n"), 1):
        if source.strip():
            records.append((line, _record(source, f"{path} line {line}")))
    header = list(dict.fromkeys(key for _, record in records for key in record))
    return header, [(line, [record.get(key) for key in header]) for line, record in records]


def _record(source: str, where: str) -> dict[str, str | None]:
    try:
        record = json.loads(source, parse_int=str, parse_float=str, parse_constant=_no_number)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error})", "write one JSON object on each line") from error
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object", 'write lines such as {"text": "…", "label": "…"}')
    return {key: cell(value) for key, value in record.items()}


class Nested(str):
    """What stands in a field that holds a list or an object: no text, and no label."""


def _no_number(word: str) -> None:
    """NaN and Infinity are how a missing value is written by programs that know no null."""


def cell(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, str) else Nested(json.dumps(value, ensure_ascii=False))


def parse_parquet(content: bytes, path: Path) -> Parsed:
    """Numbers as Python writes them; a label column of `datasets` by the names of its classes.

    Raises MachineError without pyarrow, DataError for a file it cannot read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MachineError(f"reading {path} needs the package pyarrow", how_to_install("pyarrow")) from error
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is no Parquet table that pyarrow can read ({error})", "save it again") from error
    names = _class_names(table.schema.metadata or {})
    columns = [[_named(value, names.get(name)) for value in table[name].to_pylist()] for name in table.column_names]
    return list(table.column_names), [(number, list(row)) for number, row in enumerate(zip(*columns, strict=True), 1)]


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> class names, as the package datasets notes them in its Parquet files."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: list(found["names"]) for name, found in features.items() if found.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _named(value: Any, names: list[str] | None) -> str | None:
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else cell(value)


FORMATS: Mapping[str, Callable[[bytes, Path], Parsed]] = {
    ".csv": parse_csv,
    ".tsv": parse_tsv,
    ".tab": parse_tsv,
    ".jsonl": parse_jsonl,
    ".ndjson": parse_jsonl,
    ".parquet": parse_parquet,
}
