from __future__ import annotations

from pathlib import Path

import pytest

from edgeft.errors import ModelError, UsageError
from edgeft.tuning.source import find_source, hash_checkpoint
from tests.tuning import small

FACTORY = """
import transformers
from tests.tuning import small

def folder():
    return "checkpoint"

def model():
    return transformers.BertForSequenceClassification(small.bert_config())

def pair():
    return model(), small.tokenizer()

def number():
    return 3

def broken():
    return {}["weights"]
"""


def factory_file(folder: Path) -> Path:
    (folder / "made.py").write_text(FACTORY)
    return folder / "made.py"


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    source = find_source(str(folder), tmp_path / "original")
    assert (source.kind, source.place) == ("folder", str(folder))
    assert source.sha256 == hash_checkpoint(folder)


def test_the_hash_follows_the_weights(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    before = hash_checkpoint(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert hash_checkpoint(folder) != before


def test_a_factory_that_returns_a_folder_beside_its_file(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "checkpoint")
    source = find_source(f"{factory_file(tmp_path)}:folder", tmp_path / "original")
    assert (source.kind, Path(source.place)) == ("factory", folder)
    assert not (tmp_path / "original").exists()


@pytest.mark.parametrize(("name", "files"), [("model", {"config.json"}), ("pair", {"config.json", "tokenizer.json"})])
def test_a_model_object_is_saved_and_goes_on_as_a_checkpoint(tmp_path: Path, name: str, files: set[str]) -> None:
    source = find_source(f"{factory_file(tmp_path)}:{name}", tmp_path / "original")
    assert Path(source.place) == tmp_path / "original"
    assert files <= {file.name for file in (tmp_path / "original").iterdir()}


def test_what_a_factory_must_return(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"returned int; return a folder"):
        find_source(f"{factory_file(tmp_path)}:number", tmp_path / "original")


def test_a_factory_that_fails_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"made\.py:broken failed with KeyError: 'weights'; fix the function"):
        find_source(f"{factory_file(tmp_path)}:broken", tmp_path / "original")


def test_a_factory_that_leaves_the_program_is_told_too(tmp_path: Path) -> None:
    """Exit code 3 is a missed check: a script that ends with it must not look like one."""
    (tmp_path / "m.py").write_text("import sys\ndef make():\n    sys.exit(3)\n")
    with pytest.raises(ModelError, match=r"m.py:make failed with SystemExit: 3"):
        find_source(f"{tmp_path / 'm.py'}:make", tmp_path / "w")


def test_a_python_file_without_its_function(tmp_path: Path) -> None:
    file = factory_file(tmp_path)
    with pytest.raises(ModelError, match=rf"is a file, .*, or {file}:FUNCTION for a function in it"):
        find_source(str(file), tmp_path / "w")


def test_a_misspelt_factory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'model'"):
        find_source(f"{factory_file(tmp_path)}:modle", tmp_path / "original")


def test_a_factory_file_that_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_package\n")
    with pytest.raises(ModelError, match="no_such_package"):
        find_source(f"{tmp_path / 'broken.py'}:model", tmp_path / "original")


def test_missing_folder_missing_config_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.safetensors").write_bytes(b"")
    for given, said in [("gone", "no model folder"), ("empty", "no config.json"), ("weights.safetensors", "is a file")]:
        with pytest.raises(ModelError, match=said):
            find_source(str(tmp_path / given), tmp_path / "original")


def test_a_git_lfs_pointer_is_not_taken_for_weights(tmp_path: Path) -> None:
    folder = small.save_bert(tmp_path / "bert")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError, match="Git LFS pointer"):
        find_source(str(folder), tmp_path / "original")


@pytest.mark.parametrize(
    ("given", "kind", "place"),
    [
        ("resnet18", "timm", "timm/resnet18"),
        ("resnet18.a1_in1k", "timm", "timm/resnet18.a1_in1k"),
        ("timm/vit_tiny_patch16_224", "timm", "timm/vit_tiny_patch16_224"),
        ("owner/some-bert", "hub", "owner/some-bert"),
    ],
)
def test_ids(tmp_path: Path, given: str, kind: str, place: str) -> None:
    source = find_source(given, tmp_path / "original")
    assert (source.kind, source.place, source.sha256) == (kind, place, None)
