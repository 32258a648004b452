"""Why a model cannot be captured as a graph: where in its code, what is wrong there, and the smallest thing to do."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edgeft.errors import ModelError
from edgeft.tasks.task import TensorSpec

_TORCH = str(Path(torch.__file__).parent) + "/"
_EDGEFT = str(Path(__file__).resolve().parents[1]) + "/"
_STDLIB = sysconfig.get_paths()["stdlib"] + "/"
_INSTALLED = (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"])
_FIXED = re.compile(r"\['(\w+)'\]\.size\(\)\[(\d+)\].*?constant \((\d+)\)", re.DOTALL)


@dataclass(frozen=True)
class Kind:
    """One way in which capture fails.

    words  any of them in the error's type or text tells it
    what   is wrong, for a person; {detail} is the first line torch said
    hint   the smallest change that helps
    """

    words: tuple[str, ...]
    what: str
    hint: str


KINDS = (
    Kind(
        ("DataDependent", "data-dependent"),
        "control flow depends on the values of a tensor",
        "write both ways and choose with torch.where, or decide outside of the model",
    ),
    Kind(
        ("Constraints violated", "ConstraintViolation"),
        "a free size is fixed by the code: {detail}",
        "write the size as x.shape[i] or -1 instead of a number, and loop over no free size",
    ),
    Kind(
        (".numpy() is not supported", "tensor subclasses"),
        "the code leaves torch (numpy)",
        "use the torch function of the same name",
    ),
    Kind(
        ("missing 1 required", "missing 2 required", "missing 3 required", "unexpected keyword argument"),
        "{detail}",
        "the model is called with exactly {inputs}; wrap it in a module whose forward takes these",
    ),
)
_OTHER = Kind((), "{detail}", "run the model with exactly {inputs} in plain Python: what fails there fails here")


def explain(
    model: Any, inputs: Sequence[TensorSpec], error: Exception, fixed: Sequence[str], way_out: str = ""
) -> ModelError:
    """The error for a person.

    fixed    places in the model's code where a free size was fixed, first one first (`watched`)
    way_out  what can be done without changing the model
    """
    text = f"{type(error).__name__} {error}"
    kind = next((kind for kind in KINDS if any(word in text for word in kind.words)), _OTHER)
    sizes = _sizes_fixed(str(error), inputs)
    place = (fixed[0] if sizes and fixed else "") or _place(traceback.extract_tb(error.__traceback__))
    names = " and ".join(spec.name for spec in inputs)
    what = kind.what.format(detail=sizes or _first_line(error))
    where = f" at {place}" if place else ""
    next_step = "; ".join(step for step in (kind.hint.format(inputs=names), way_out) if step)
    return ModelError(f"{type(model).__name__} cannot be captured as a graph{where}: {what}", next_step)


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Keep torch's own notices off the terminal, and note where the model's code fixes a size that should be free.

    torch says which size was fixed, but not where.
    """
    places: list[str] = []
    original: Any = getattr(ShapeEnv, "_set_replacement", None)

    def note(self: Any, symbol: Any, target: Any, *rest: Any, **named: Any) -> Any:
        if getattr(target, "is_Integer", False) and target != self.replacements.get(symbol):
            places.append(_place(traceback.extract_stack()))
        return original(self, symbol, target, *rest, **named)

    if original is not None:
        ShapeEnv._set_replacement = note
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        silent = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            warnings.simplefilter("ignore")
            yield places
    finally:
        logging.disable(before)
        if original is not None:
            ShapeEnv._set_replacement = original


def _place(frames: traceback.StackSummary) -> str:
    """file:line in function (code) of the innermost frame of the model's own code; empty when there is none."""
    own = [frame for frame in frames if _is_of_the_model(frame.filename)]
    if not own:
        return ""
    inner = own[-1]
    return f"{_short(inner.filename)}:{inner.lineno} in {inner.name} ({inner.line})"


def _is_of_the_model(file: str) -> bool:
    """Code of the user or of a library of models: not torch, not Python's own, not edgeft."""
    if file.startswith(("<", _TORCH, _EDGEFT)):
        return False
    return file.startswith(_INSTALLED) or not file.startswith(_STDLIB)


def _short(file: str) -> str:
    """The file relative to where Python found it."""
    homes = [str(Path(entry or ".").resolve()) for entry in sys.path]
    inside = [home for home in homes if file.startswith(f"{home}/")]
    return str(Path(file).relative_to(max(inside, key=len))) if inside else file


def _sizes_fixed(text: str, inputs: Sequence[TensorSpec]) -> str:
    """"batch of pixel_values is always 3", for each size that a constraint violation names."""
    shapes = {spec.name: spec.shape for spec in inputs}
    found = [
        f"{shapes[name][int(axis)]} of {name} is always {value}"
        for name, axis, value in _FIXED.findall(text)
        if name in shapes
    ]
    return ", ".join(dict.fromkeys(found))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
