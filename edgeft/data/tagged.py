"""Sentences whose every word has a tag, in CoNLL files or JSONL: one file, or a folder with a file for each split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeft.data import tags
from edgeft.data.columns import Columns
from edgeft.data.found import ALL, Found, Row, is_system, split_of
from edgeft.data.table_formats import content_of, decode_text
from edgeft.data.tagged_formats import Sentence, parser_of
from edgeft.data.words import Words
from edgeft.errors import DataError

# How CoNLL-2003 calls its splits: eng.testa, eng.testb.
_SHARED_TASK = {"testa": "validation", "testb": "test"}


class TaggedReader:
    takes = "tagged sentences: a CoNLL file, or JSONL with tokens and tags (or a folder with such files for each split)"

    def can_read(self, data: str) -> bool:
        return holds_tagged(Path(data).expanduser())

    def read(self, data: str, columns: Columns, image_check: bool) -> Found:
        path = Path(data).expanduser()
        if columns.group is not None:
            raise DataError(f"{data} holds tagged sentences, which have no group column", "leave --group-column out")
        places = {ALL: path} if path.is_file() else _splits(path)
        files = {split: _read(place, columns) for split, place in places.items()}
        scheme = _scheme({places[split]: sentences for split, sentences in files.items()})
        splits = {split: [_row(places[split], one) for one in sentences] for split, sentences in files.items()}
        return Found("words", splits, _notices(scheme, files, splits), {"tags": {"scheme": scheme}}, target="tags")


def holds_tagged(path: Path) -> bool:
    """Whether `path` is a file of tagged sentences, or a folder in which the training split is one."""
    if path.is_file():
        return parser_of(path) is not None
    if not path.is_dir():
        return False
    found = _tagged_in(path)
    return any(_split_of(file) == "train" for file in found) or len(found) == 1


def _tagged_in(folder: Path) -> list[Path]:
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and not is_system(entry.name))
    return [file for file in files if parser_of(file) is not None]


def _split_of(path: Path) -> str | None:
    """train.conll, dev.txt, eng.testa: the name before the first point says it, or the suffix."""
    suffix = path.suffix.lower().removeprefix(".")
    return split_of(path.name.partition(".")[0]) or split_of(suffix) or _SHARED_TASK.get(suffix)


def _splits(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in _tagged_in(folder):
        split = _split_of(file)
        if split is None and len(_tagged_in(folder)) == 1:
            return {ALL: file}
        if split is None:
            raise DataError(f"{file} lies beside {folder}'s training file and is no split", "move it away")
        if split in found:
            raise DataError(
                f"{folder} has both {found[split].name!r} and {file.name!r}, which both mean the {split} split",
                "remove one",
            )
        found[split] = file
    return found


def _read(path: Path, columns: Columns) -> list[Sentence]:
    """Raises DataError: unreadable, not UTF-8 text, no sentence, a word without a tag."""
    content = content_of(path, "holds no sentences")
    parse = parser_of(path)
    found = parse(decode_text(content, path), path, columns) if parse else []
    if not found:
        raise DataError(f"{path} holds no sentences", "add some, or give another file")
    return found


def _scheme(files: Mapping[Path, list[Sentence]]) -> str:
    """One scheme for all files. Raises DataError naming the line where another one's prefix stands first."""
    found = tags.scheme_of(one.tags for sentences in files.values() for one in sentences)
    if isinstance(found, str):
        return found
    first, second = found
    places = {
        tags.parts(tag)[0]: f"{path}:{one.line}"
        for path, sentences in files.items() for one in reversed(sentences) for tag in one.tags
    }  # fmt: skip
    raise DataError(
        f"the tags mix two schemes: {first}- (the sentence at {places[first]}) and {second}- ({places[second]})",
        "write all of them in one: IOB2, IOB1, BIOES or BILOU",
    )


def _row(path: Path, one: Sentence) -> Row:
    words = Words(one.words)
    return Row(f"{path.name}:{one.line}", words, tuple(tags.to_iob2(one.tags)), words.sha256)


def _notices(scheme: str, files: Mapping[str, list[Sentence]], splits: Mapping[str, list[Row]]) -> list[str]:
    turned = "" if scheme == tags.IOB2 else " and are turned into IOB2"
    lines = [f"the tags are {scheme}{turned}"]
    if scheme == tags.IOB2:
        begun = sum(
            before != after
            for split, sentences in files.items() for one, row in zip(sentences, splits[split], strict=True)
            for before, after in zip(one.tags, row.label, strict=True)
        )  # fmt: skip
        if begun:
            lines.append(f"{begun} I- tags go on with no entity of their type and are read as the beginning of one")
    return lines


READER = TaggedReader()
