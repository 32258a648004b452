"""edgeft: fine-tune for a device, export to ONNX, and measure there what it cost and gained.

The steps as functions, loaded on use, with the names and defaults of the command-line options:

    run = edgeft.tune(model="…", data="…")
    bundle = edgeft.export(run)
    result = edgeft.evaluate(bundle)
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

__all__ = ["compare", "evaluate", "export", "run", "tune"]


def tune(**options: Any) -> Any:
    """`edgeft tune`: fine-tune, then quantization-aware for one target. Returns a `Run` that reads what was written.

    `options` are the fields of `edgeft.recipe.TuneSpec`; `model` and `data` are required.
    Raises UsageError for an unknown option or value, and what else `edgeft.errors` lists.
    """
    return _do("TuneSpec", options)


def export(run: Any, **options: Any) -> Any:
    """`edgeft export`: write the bundle of `run` (a folder, or what `tune` returned). Returns a `Bundle`."""
    return _do("ExportSpec", {"run": getattr(run, "path", run), **options})


def evaluate(bundle: Any, **options: Any) -> Any:
    """`edgeft eval`: measure every variant of `bundle` (a folder, or what `export` returned). Returns a `Result`."""
    return _do("EvalSpec", {"bundle": getattr(bundle, "path", bundle), **options})


def _do(kind: str, options: dict[str, Any]) -> Any:
    from edgeft import recipe, steps

    spec = recipe.make_spec(getattr(recipe, kind), options)
    steps.check_names(spec)
    return steps.do(spec)


def run(recipe: Any, **overrides: Any) -> Any:
    """`edgeft run`: tune, export and eval of one recipe file, going on where an earlier call stopped.

    `overrides` are sections: `edgeft.run("job.toml", tune={"epochs": 1})`. Returns the `Result`.
    """
    from edgeft.pipeline import run as story
    from edgeft.recipe import read_recipe

    return story(read_recipe(recipe, overrides))


def compare(*results: Any, format: str = "text") -> str:
    """`edgeft compare`: a table of several results (folders, or what `evaluate` returned) side by side."""
    from edgeft.report.compare import compare as story

    return story([getattr(result, "path", result) for result in results], format)
