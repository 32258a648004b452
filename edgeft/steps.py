"""The three steps as functions of a spec: the story of each is loaded on use.

Beside what a step writes, `settings.json` keeps the resolved settings and what it was made from, so that `edgeft run`
can tell whether the output still stands for the recipe.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from edgeft import __version__, files, ranks
from edgeft.errors import BudgetMissed, EdgeftError, FolderError, GateFailed, UsageError
from edgeft.recipe import as_settings, command_of, options_of

SCHEMA = "edgeft-settings/1"
FILE = "settings.json"
DOCUMENTS = {"tune": "tuned.json", "export": "manifest.json", "eval": "result.json"}
_STORIES = {
    "tune": "edgeft.tuning.run:tune",
    "export": "edgeft.exporting.run:export",
    "eval": "edgeft.evaluation.run:evaluate",
}


def do(spec: Any) -> Any:
    """Do the step of `spec` and keep its settings; returns what the story returns (Run, Bundle or Result)."""
    command = command_of(spec)
    module, _, name = _STORIES[command].partition(":")
    story = getattr(importlib.import_module(module), name)
    if command == "eval":
        refuse_place(spec.output, spec.bundle)
    made_from = inputs_of(spec)
    try:
        done = story(spec)
    except (GateFailed, BudgetMissed) as failure:
        _keep(spec, made_from, failure)
        raise
    _keep(spec, made_from)
    return done


def refuse_place(output: Path, bundle: Path) -> None:
    """A result takes the whole place of --output: never that of the bundle, or of a folder that is no result."""
    place, measured = output.absolute(), Path(bundle).absolute()
    if place == measured or place in measured.parents:
        raise UsageError(f"--output {output} would take the place of the bundle", "choose another --output")
    if output.is_file():
        raise FolderError(f"{output} is a file", "choose another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / DOCUMENTS["eval"]).is_file():
        raise FolderError(f"{output} is not empty and is no result", "choose another --output, or empty it")
    files.refuse_unwritable(output)


def _keep(spec: Any, made_from: dict[str, str], failure: EdgeftError | None = None) -> None:
    command = command_of(spec)
    if spec.dry_run or not ranks.first() or not (spec.output / DOCUMENTS[command]).is_file():
        return
    record = {
        "schema": SCHEMA,
        "edgeft": __version__,
        "command": command,
        "settings": comparable_settings(spec),
        "made_from": made_from,
        "document_sha256": files.sha256_file(spec.output / DOCUMENTS[command]),
    }
    if failure is not None:
        record["failed"] = {"kind": type(failure).__name__, "what": failure.what, "next_step": failure.next_step}
    files.write_json(spec.output / FILE, record)


def kept_failure(output: Path) -> EdgeftError | None:
    """The gate or budget that failed when `output` was written, as it was raised then."""
    failed = files.read_json(output / FILE, SCHEMA, "").get("failed")
    if failed is None:
        return None
    kind = GateFailed if failed["kind"] == "GateFailed" else BudgetMissed
    return kind(failed["what"], failed["next_step"])


def comparable_settings(spec: Any) -> dict[str, Any]:
    """The settings that decide what a step writes, without those that say where and how."""
    known = options_of(type(spec))
    return {name: value for name, value in as_settings(spec).items() if not known[name].output}


def inputs_of(spec: Any) -> dict[str, str]:
    """Name -> hash of the local files a step is made from: data, model, the earlier step's document."""
    given = {name: Path(_file_part(str(getattr(spec, name)))) for name, known in options_of(type(spec)).items()
             if known.from_recipe and getattr(spec, name) is not None}  # fmt: skip
    return {name: _fingerprint(path) for name, path in given.items() if path.exists()}


def _file_part(value: str) -> str:
    """"model.py" of "model.py:factory"."""
    head, colon, _ = value.rpartition(":")
    return head if colon and head.endswith(".py") else value


def _fingerprint(path: Path) -> str:
    if path.is_file():
        return files.sha256_file(path)
    for document in DOCUMENTS.values():
        if (path / document).is_file():
            return files.sha256_file(path / document)
    # Names and sizes: reading every image again would cost more than the check is worth.
    listing = sorted(f"{item.relative_to(path)} {item.stat().st_size}" for item in path.rglob("*") if item.is_file())
    return files.sha256_text("\n".join(listing))


def check_names(spec: Any) -> None:
    """Raises UsageError or ProfileError for a profile, scheme or task that does not exist, before any work."""
    from edgeft.profile import load_profile

    profile = getattr(spec, "profile", None)
    if profile not in (None, "auto"):
        load_profile(profile)
    if getattr(spec, "scheme", None) not in (None, "none"):
        from edgeft.scheme import SCHEMES

        SCHEMES.load(spec.scheme)
