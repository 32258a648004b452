"""Reading a preprocessing description: what it lacks or says wrongly is one clear error, never a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeft.errors import FolderError
from edgeft.form import Record

_AGAIN = "make the run or bundle again with `edgeft tune` and `edgeft export`"


def check(preprocessing: Mapping[str, Any] | None, kind: str, form: Record) -> Mapping[str, Any]:
    """`preprocessing` when it is of `kind` and looks as `form` says; else FolderError."""
    if not preprocessing:
        raise FolderError("the preprocessing description is missing: inputs cannot be prepared as in training", _AGAIN)
    if preprocessing.get("kind") != kind:
        raise FolderError(f"the preprocessing is for {preprocessing.get('kind')!r}, and this task takes {kind}", _AGAIN)
    missing = [key for key in form.fields if key not in preprocessing]
    if missing:
        raise FolderError(f"the preprocessing description lacks {', '.join(missing)}", _AGAIN)
    if wrong := form.wrong(preprocessing, ""):
        raise FolderError(f"the preprocessing description is not right: {wrong}", _AGAIN)
    return preprocessing


def choose(value: str, choices: Mapping[str, Any], setting: str) -> Any:
    """`choices[value]`, or FolderError naming the setting this edgeft does not know."""
    if value not in choices:
        raise FolderError(
            f"the preprocessing has {setting} {value!r}, and this edgeft knows {', '.join(choices)}",
            "install a newer edgeft",
        )
    return choices[value]
