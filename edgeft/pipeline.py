"""`edgeft run`: tune, export and eval of one recipe; a second call goes on where the first stopped."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from edgeft import __version__, files, steps
from edgeft.console import say
from edgeft.errors import BudgetMissed, EdgeftError, FolderError, GateFailed
from edgeft.recipe import Recipe, command_of, describe


def run(recipe: Recipe, dry_run: bool = False) -> Any:
    """Do the steps whose output does not stand yet. Returns the last step's result (None when it was skipped).

    A gate or a budget that fails does not keep the later steps from running: what was written is measured, and the
    failure is raised at the end, also by a later call that finds everything done.
    """
    tune = recipe.spec("tune")
    export = recipe.spec("export", run=tune.output)
    evaluate = recipe.spec("eval", bundle=export.output)
    failures: list[EdgeftError] = []
    done: Any = None
    for spec in (tune, export, evaluate):
        done = _step(dataclasses.replace(spec, dry_run=dry_run), recipe, failures)
    if failures:
        raise failures[0]
    return done


def _step(spec: Any, recipe: Recipe, failures: list[EdgeftError]) -> Any:
    command = command_of(spec)
    reason = why_again(spec)
    if reason is None:
        say(f"edgeft {command}: {spec.output} stands and was made with these settings; skipped")
        failure = steps.kept_failure(spec.output)
        failures.extend([failure] if failure else [])
        return _open(spec)
    say(f"edgeft {command}: {reason}")
    before = {"export": "run", "eval": "bundle"}.get(command)
    if spec.dry_run and before and not getattr(spec, before).exists():
        say(f"edgeft {command}: its plan is known once {getattr(spec, before)} is there")
        return None
    say(describe(spec, recipe.origins.get(command)))
    if command == "tune" and not spec.dry_run:
        spec = _ready_to_tune(spec)
    if command == "eval" and not spec.dry_run and spec.output.with_name(f"{spec.output.name}.unfinished").is_dir():
        spec = dataclasses.replace(spec, resume=True)
    try:
        return steps.do(spec)
    except (GateFailed, BudgetMissed) as failure:
        failures.append(failure)
        return None


def why_again(spec: Any) -> str | None:
    """Why the step of `spec` has to be done; None when what it would write is there already."""
    document = spec.output / steps.DOCUMENTS[command_of(spec)]
    if not document.is_file():
        return f"{spec.output} is not complete yet" if spec.output.exists() else f"{spec.output} is not there yet"
    try:
        record = files.read_json(spec.output / steps.FILE, steps.SCHEMA, "")
    except FolderError:
        return f"{spec.output} does not say which settings it was made with"
    if record.get("document_sha256") != files.sha256_file(document):
        return f"{document} was changed since"
    if record.get("edgeft") != __version__:
        return f"{spec.output} was made by edgeft {record.get('edgeft')}"
    changed = _changed(record.get("settings", {}), steps.comparable_settings(spec))
    if changed:
        return f"{spec.output} was made with other settings: {changed}"
    other = _changed(record.get("made_from", {}), steps.inputs_of(spec))
    return f"{other.partition(' ')[0]} has changed since {spec.output} was made" if other else None


def _changed(before: dict[str, Any], now: dict[str, Any]) -> str:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"{name} {before.get(name)!r}, now {now.get(name)!r}"
    return ""


def _ready_to_tune(spec: Any) -> Any:
    """Go on with an unfinished run of the same settings; keep any other one under another name."""
    if not spec.output.exists() or not any(spec.output.iterdir()):
        return spec
    if not (spec.output / steps.DOCUMENTS["tune"]).is_file() and _begun_with(spec):
        return dataclasses.replace(spec, resume=True)
    kept = _free_name(spec.output)
    say(f"the run that was in {spec.output} is kept as {kept}")
    shutil.move(spec.output, kept)
    return spec


def _begun_with(spec: Any) -> bool:
    """Does the unfinished run say that it was begun with these settings?"""
    from edgeft.runfolder import STATE, STATE_SCHEMA

    try:
        before = files.read_json(spec.output / STATE, STATE_SCHEMA, "").get("settings", {})
    except FolderError:
        return False
    now = steps.comparable_settings(spec)
    return all(before[name] == value for name, value in now.items() if name in before)


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return name


def _open(spec: Any) -> Any:
    """The result of a step that was skipped, as its story would have returned it."""
    command = command_of(spec)
    if command == "tune":
        from edgeft.runfolder import Run

        return Run.open(spec.output)
    if command == "export":
        from edgeft.bundle import Bundle

        return Bundle.open(spec.output)
    from edgeft.evaluation.result import Result

    return Result.open(spec.output)
