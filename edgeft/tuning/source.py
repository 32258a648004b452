"""Where the model to tune comes from: a folder, a Hub id, a timm id, or a function of the user's own file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.errors import EdgeftError, ModelError, UsageError, did_you_mean

# First bytes of a file that Git LFS has not fetched: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_LFS_POINTER = b"version https://git-lfs.github.com/spec"
_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class Source:
    """A model transformers can load.

    given      what the user typed
    kind       "folder", "hub", "timm" or "factory"
    place      argument of from_pretrained: a folder or a Hub id
    """

    given: str
    kind: str
    place: str

    @property
    def sha256(self) -> str | None:
        """Hash over names and contents of the weight files and the config; None for a Hub id."""
        folder = Path(self.place)
        return hash_checkpoint(folder) if folder.is_dir() else None


def find_source(given: str, workspace: Path) -> Source:
    """Find what `given` means. A model object made by a factory is saved under `workspace` and read from there.

    Raises ModelError or UsageError in one line; nothing is downloaded here.
    """
    file, colon, factory = given.rpartition(":")
    if colon and file.endswith(".py"):
        return _from_factory(given, Path(file), factory, workspace)
    folder = Path(given).expanduser()
    if folder.is_dir():
        check_checkpoint(folder)
        return Source(given, "folder", str(folder))
    if folder.exists():
        function = f", or {given}:FUNCTION for a function in it that returns a model" if given.endswith(".py") else ""
        raise ModelError(f"{given} is a file, not a model folder", f"give the folder of its config.json{function}")
    if given.startswith((".", "/", "~")) or given.count("/") > 1:
        raise ModelError(f"there is no model folder {given}", "check the path; a Hub id looks like owner/name")
    if given.startswith("timm/"):
        return Source(given, "timm", given)
    if "/" not in given and _is_timm_name(given):
        return Source(given, "timm", f"timm/{given}")
    return Source(given, "hub", given)


def check_checkpoint(folder: Path) -> None:
    """Raise ModelError unless `folder` holds a config and weights that are really there."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json", "give a folder written by save_pretrained")
    weights = [file for pattern in _WEIGHTS for file in sorted(folder.glob(pattern))]
    if not weights:
        raise ModelError(f"{folder} holds no weights (model.safetensors)", "copy the whole checkpoint")
    for file in weights:
        with open(file, "rb") as opened:
            if opened.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise ModelError(f"{file} is a Git LFS pointer, not the weights", f"run git lfs pull in {folder}")


def hash_checkpoint(folder: Path) -> str:
    """SHA-256 over name and content hash of config.json and every weight file, in order of names."""
    digest = hashlib.sha256()
    for file in sorted({folder / "config.json", *(f for pattern in _WEIGHTS for f in folder.glob(pattern))}):
        digest.update(f"{file.name} {files.sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _is_timm_name(name: str) -> bool:
    try:
        import timm
    except ImportError:
        return False
    return name.partition(".")[0] in timm.list_models()


def _from_factory(given: str, file: Path, name: str, workspace: Path) -> Source:
    made = _call_factory(file, name)
    if isinstance(made, (str, Path)):
        folder = Path(made)
        if not folder.is_absolute() and not folder.is_dir():
            folder = file.parent / folder
        if not folder.is_dir():
            raise ModelError(f"{given} returned {str(made)!r}, which is no folder", "return a model or its folder")
        check_checkpoint(folder)
        return Source(given, "factory", str(folder))
    parts = made if isinstance(made, tuple) else (made,)
    if not all(hasattr(part, "save_pretrained") for part in parts):
        raise ModelError(
            f"{given} returned {type(parts[0]).__name__}",
            "return a folder, a transformers model, or (model, processor or tokenizer)",
        )
    with files.whole_folder(workspace) as folder:
        for part in parts:
            part.save_pretrained(folder)
    return Source(given, "factory", str(workspace))


def _call_factory(file: Path, name: str) -> Any:
    if not file.is_file():
        raise ModelError(f"there is no file {file}", "give it as file.py:function")
    specification = importlib.util.spec_from_file_location(f"edgeft_user_{file.stem}", file)
    if specification is None or specification.loader is None:
        raise ModelError(f"{file} is no Python file", "give it as file.py:function")
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(file.parent.resolve()))  # the file may import its neighbours
    try:
        specification.loader.exec_module(module)
        factory = getattr(module, name, None)
        if not callable(factory):
            functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise UsageError(f"{file} has no function {name!r}", did_you_mean(name, functions))
        return factory()
    except (ImportError, SyntaxError) as error:
        raise ModelError(f"{file} cannot be imported: {error}", "fix the file or install what it needs") from error
    except (EdgeftError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        text = f"{type(error).__name__}: {error}"
        raise ModelError(f"{file}:{name} failed with {text[:200]}", "fix the function; -v shows where") from error
    finally:
        sys.path.pop(0)
