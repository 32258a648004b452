"""The bundle: what export writes, what eval reads, and nothing else passes between the two.

    BUNDLE/manifest.json   schema edgeft-bundle/1, written last: a folder without it is unfinished

`Bundle.open` believes nothing: every file is there, is what the manifest says, and lies inside the folder.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeft import archive, files
from edgeft.archive import pack, safe_name, unpack
from edgeft.errors import FolderError, UsageError, did_you_mean
from edgeft.form import SIZE, TEXT, WHOLE, Kind, Many, Named, Record, distinct
from edgeft.onnxfile import read_facts

__all__ = ["MANIFEST", "SCHEMA", "Bundle", "pack", "unpack"]

SCHEMA = "edgeft-bundle/1"
MANIFEST = "manifest.json"
_AGAIN = "make it again with edgeft export"
_COPY = "copy the bundle again, or make it again with edgeft export"
_SEAL = "manifest_sha256"
_REQUIRED = (
    "task", "metric", "labels", "preprocessing", "inputs", "outputs", "original_is", "scheme", "variants", "eval",
)  # fmt: skip
_NAMED = Record({"name": TEXT})
_FORM = Record({
    "task": TEXT, "metric": TEXT, "labels": Kind("a list of different texts", distinct),
    "preprocessing": Record({"kind": TEXT}), "inputs": Many(_NAMED), "outputs": Many(_NAMED, least=1),
    "original_is": TEXT, "scheme": TEXT, "files": Named(TEXT), "eval": Record({"sha256": TEXT}, {"n": WHOLE}),
    "variants": Named(Record({"file": TEXT, "sha256": TEXT, "bytes": SIZE, "opset": WHOLE, "ir_version": WHOLE},
                             {"scheme": TEXT, "title": TEXT}), least=1),
})  # fmt: skip
# Raw examples; eval/examples.jsonl vouches for each with a hash of its own.
_RAW = re.compile(r"eval/\d{5,}([.][a-z0-9]+)?")
_LFS = b"version https://git-lfs.github.com/spec/"


class Bundle:
    """A whole and verified bundle: the folder `path` and its manifest, `document`."""

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.document = document

    @staticmethod
    def open(path: str | Path) -> Bundle:
        """Read and verify a bundle folder, or an archive of one (unpacked beside it).

        Raises FolderError that says what is wrong: missing or unfinished, of a newer edgeft, a changed file, a Git
        LFS pointer in a file's place, weights outside the folder.
        """
        path = Path(path)
        if path.is_file():
            return _open_archive(path)
        if not path.is_dir():
            raise FolderError(f"there is no bundle {path}", "make one with edgeft export")
        return Bundle(path, _verified(path))

    @staticmethod
    def write_manifest(folder: Path, document: Mapping[str, Any]) -> Bundle:
        """Complete `document` with schema, sizes and hashes of its files, write it as manifest.json, and verify.

        Every variant names its "file"; other files are found in the folder, the raw examples in eval/ apart,
        which eval/examples.jsonl lists with their own hashes. Raises FolderError for a missing key or file.
        """
        folder = Path(folder)
        absent = [key for key in _REQUIRED if key not in document]
        if absent:
            raise FolderError(f"the manifest of {folder} lacks {', '.join(absent)}", _AGAIN)
        variants = {name: _completed(folder, entry) for name, entry in document["variants"].items()}
        models = {entry["file"] for entry in variants.values()}
        full = {**document, "schema": SCHEMA, "variants": variants, "files": _other_files(folder, models)}
        files.write_json(folder / MANIFEST, {**full, _SEAL: _seal(full)})
        return Bundle.open(folder)

    @property
    def task(self) -> str:
        return str(self.document["task"])

    @property
    def metric(self) -> str:
        return str(self.document["metric"])

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.document["labels"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        return dict(self.document["preprocessing"])

    @property
    def original_is(self) -> str:
        return str(self.document["original_is"])

    @property
    def scheme_name(self) -> str:
        return str(self.document["scheme"])

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """Name -> what the manifest says of it, in the order they were written."""
        return dict(self.document["variants"])

    def file_of(self, variant: str) -> Path:
        """Path of a variant's model. Raises UsageError with a suggestion for a name the bundle does not have."""
        if variant not in self.variants:
            raise UsageError(f"{self.path} has no variant {variant!r}", did_you_mean(variant, self.variants))
        return self.path / str(self.variants[variant]["file"])

    @property
    def sha256(self) -> str:
        """Hash of the manifest, and so of everything it vouches for."""
        return files.sha256_file(self.path / MANIFEST)


def _verified(path: Path) -> dict[str, Any]:
    """The manifest of a bundle folder, all of whose files are as it says."""
    document = _read_manifest(path)
    for name, sha256 in _hashes(document).items():
        _verify(path, name, sha256)
    for variant in document["variants"].values():
        _check_external(path, str(variant["file"]), document)
    return document


def _open_archive(path: Path) -> Bundle:
    folder = _unpacked(path)
    try:
        return Bundle(folder, _verified(folder))
    except FolderError as error:  # it was whole when it was unpacked
        raise FolderError(error.what, f"remove {folder}, and it is unpacked again from {path}") from error


def _verify_unpacked(path: Path, folder: Path) -> None:
    """What is wrong with a bundle just unpacked is wrong with its archive; the folder has no name yet."""
    try:
        _verified(folder)
    except FolderError as error:
        raise FolderError(error.what.replace(str(folder), str(path)), _COPY) from error


def _unpacked(path: Path) -> Path:
    if not path.name.endswith(archive.SUFFIX):
        raise FolderError(f"{path} is a file", f"give a bundle folder, or an archive of one (NAME{archive.SUFFIX})")
    _refuse_pointer(path)
    target = path.with_name(path.name.removesuffix(archive.SUFFIX))
    if not (target / MANIFEST).is_file():
        return unpack(path, target, functools.partial(_verify_unpacked, path))
    if archive.content_of(path, MANIFEST) != (target / MANIFEST).read_bytes():
        raise FolderError(f"{target} is there already and is not the bundle in {path}", "remove it")
    return target


def _read_manifest(folder: Path) -> dict[str, Any]:
    place = folder / MANIFEST
    if place.is_file():
        _refuse_pointer(place)
    document = files.read_json(place, SCHEMA, _AGAIN)
    absent = [key for key in (*_REQUIRED, "files") if key not in document]
    if absent:
        raise FolderError(f"{place} lacks {', '.join(absent)}", _AGAIN)
    if document.get(_SEAL) != _seal(document):
        raise FolderError(f"{place} was changed after it was written", _COPY)
    if wrong := _FORM.wrong(document, ""):
        raise FolderError(f"{place}: {wrong}", _AGAIN)
    return document


def _seal(document: Mapping[str, Any]) -> str:
    content = {key: value for key, value in document.items() if key != _SEAL}
    return files.sha256_text(json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def _hashes(document: Mapping[str, Any]) -> dict[str, str]:
    models = {str(entry["file"]): str(entry["sha256"]) for entry in document["variants"].values()}
    return {**models, **{str(name): str(sha256) for name, sha256 in document["files"].items()}}


def _verify(folder: Path, name: str, sha256: str) -> None:
    if not safe_name(name):
        raise FolderError(f"{folder / MANIFEST} names a file {name!r} outside the bundle", _COPY)
    place = folder / name
    if not place.is_file():
        raise FolderError(f"{place} is missing", _COPY)
    _refuse_pointer(place)
    if files.sha256_file(place) != sha256:
        raise FolderError(f"{place} was changed after the bundle was written (its SHA-256 differs)", _COPY)


def _refuse_pointer(place: Path) -> None:
    with open(place, "rb") as file:
        if file.read(len(_LFS)) == _LFS:
            raise FolderError(f"{place} is a Git LFS pointer, not the file itself", "fetch it with git lfs pull")


def _check_external(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Weights may lie in a file of their own only where the manifest vouches for that file."""
    for location in read_facts(folder / name).external:
        if not safe_name(location) or (Path(name).parent / location).as_posix() not in document["files"]:
            raise FolderError(f"{folder / name} takes weights from {location!r}, which is not in the bundle", _COPY)


def _completed(folder: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    place = folder / str(entry["file"])
    if not place.is_file():
        raise FolderError(f"{place} is missing", _AGAIN)
    facts = read_facts(place)
    known = {"sha256": files.sha256_file(place), "bytes": place.stat().st_size}
    return {"opset": facts.opset, "ir_version": facts.ir_version, **entry, **known}


def _other_files(folder: Path, models: set[str]) -> dict[str, str]:
    found = {}
    for place in sorted(folder.rglob("*")):
        name = place.relative_to(folder).as_posix()
        listed = name in models or name in (MANIFEST, "settings.json")
        if place.is_file() and not listed and not _RAW.fullmatch(name):
            found[name] = files.sha256_file(place)
    return found
