"""Limits of the target that the trials of a search have to keep: size, latency and memory of the exported model.

Each trial is exported, and unless only sizes are asked for, measured here with the preset quick. On another machine
than the target times are those of this one: good for comparing trials, not for a promise.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeft import console
from edgeft.budget import Limit, parse_budget
from edgeft.bundle import Bundle
from edgeft.errors import GateFailed, ModelError, UsageError
from edgeft.evaluation.limits import value_of
from edgeft.quant.choice import AUTO
from edgeft.recipe import EvalSpec, ExportSpec, TuneSpec
from edgeft.runfolder import Run
from edgeft.scheme import SCHEMES

# Of accuracy, which validation decides, and energy, which takes longer than a trial, there are none.
MEASURED = ("size", "latency_p50", "latency_p90", "memory")
# Held-out examples that go into the bundle: times need no more, and accuracy is not looked at.
_SAMPLES = 32


def split(spec: TuneSpec) -> tuple[TuneSpec, tuple[Limit, ...]]:
    """The settings of a trial, whose --budget is what --keep-float auto has to keep, and the limits of the search.

    Raises UsageError for a limit that a search cannot check.
    """
    limits = parse_budget(spec.budget) if spec.budget else ()
    device = tuple(limit for limit in limits if limit.quantity in MEASURED)
    rest = [limit for limit in limits if limit not in device]
    if rest and (any(limit.quantity != "accuracy" for limit in rest) or AUTO not in (spec.keep_float or ())):
        raise UsageError(
            f"--search cannot keep to {rest[0].text}: a trial is measured for {', '.join(MEASURED)}",
            "leave it out; the search itself looks for accuracy",
        )
    return dataclasses.replace(spec, budget=",".join(limit.text for limit in rest) or None), device


@dataclass(frozen=True)
class Kept:
    """One limit on one trial: what the exported model has of it, in its base unit, and whether it is kept.

    over  how far beyond the bound, as a share of the bound; at most 0 when it is kept
    """

    text: str
    value: float
    over: float

    @property
    def record(self) -> dict[str, Any]:
        return {"text": self.text, "value": self.value, "over": self.over}


def measure(run: Run, limits: Sequence[Limit]) -> list[Kept]:
    """What the exported model of `run` has of every limit. Raises ModelError when its export fails a gate."""
    name = "float32" if run.scheme_name == "none" else str(SCHEMES.load(run.scheme_name).variant)
    names = ("original", name) if any(limit.compares == "ratio" for limit in limits) else (name,)
    with tempfile.TemporaryDirectory(prefix="edgeft-") as folder, console.quieter():
        document = _measured(run, names, limits, Path(folder))
    return [_kept(limit, name, document) for limit in limits]


def _measured(run: Run, names: tuple[str, ...], limits: Sequence[Limit], folder: Path) -> Mapping[str, Any]:
    """A result, or as much of one as sizes need."""
    from edgeft.evaluation.run import evaluate
    from edgeft.exporting.run import export

    place = folder / "bundle"
    try:
        bundle = export(ExportSpec(run=run.path, output=place, variants=names, samples=_SAMPLES))
    except GateFailed as error:
        raise ModelError(error.what, "see edgeft export") from error
    assert bundle is not None
    if all(limit.quantity == "size" for limit in limits):
        return _sizes(bundle)
    with console.silent():
        result = evaluate(EvalSpec(bundle=place, preset="quick", meter="none", output=folder / "result"))
    assert result is not None
    return result.document


def _sizes(bundle: Bundle) -> Mapping[str, Any]:
    return {
        "baseline": next(iter(bundle.variants)),
        "variants": {name: {"size_bytes": entry["bytes"]} for name, entry in bundle.variants.items()},
    }


def _kept(limit: Limit, name: str, document: Mapping[str, Any]) -> Kept:
    value = value_of(limit, name, document)
    if value is None:
        raise ModelError(f"{limit.text} was not measured on this machine", "leave it out of --budget")
    return Kept(limit.text, value, value / limit.bound - 1)


def total_over(kept: Sequence[Mapping[str, Any]]) -> float:
    """By how much a trial misses its limits in all; 0 when it keeps every one."""
    return sum(max(0.0, one["over"]) for one in kept)
