"""From the grids a run was trained for to those the target computes with: the same, calibrated again, or not at all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeft.errors import FolderError, ProfileError, UsageError
from edgeft.exporting.variants import INTEGER
from edgeft.options import spelled
from edgeft.profile import Profile
from edgeft.quant.choice import Wish
from edgeft.quant.raising import refuse_raise
from edgeft.quant.store import chosen_layers
from edgeft.recipe import options_of
from edgeft.runfolder import Run
from edgeft.scheme import SCHEMES, Scheme, way_to
from edgeft.specs import TuneSpec

_CALIBRATED = "-ptq"
# QuantizeLinear takes 16-bit integers from here on.
_OPSET_16_BIT = 21
# Settings of a run that the command for another target says itself, or that a float model at hand makes needless.
_SAID_ANEW = ("model", "data", "profile", "scheme", "epochs", "lr", "output", "resume", "dry_run")


@dataclass(frozen=True)
class Grids:
    """What the integer variants store.

    trained   grids the run was trained for
    stored    grids of the target
    again     int8-ptq is calibrated again from the float model, for these grids or with more layers in float
    variants  those of the variants asked for that can be written
    """

    trained: Scheme
    stored: Scheme
    again: bool
    variants: tuple[str, ...]

    @property
    def line(self) -> str:
        ways = {True: f"calibrated again; the run was trained for {self.trained.title}", False: "as trained"}
        return f"{self.stored.title}, {ways[self.again]}"


def trained_state(run: Run) -> str:
    """Which saved numbers the variant int8 has: with no epoch trained there are only the calibrated ones."""
    return "trained" if (run.quantized / "trained.safetensors").is_file() else "calibrated"


def find_grids(run: Run, profile: Profile, variants: Sequence[str], wish: Wish) -> Grids | None:
    """How the integer variants asked for are made; None when only float ones are.

    wish   more layers to keep float, which a model trained with all of them on grids cannot have

    Raises UsageError when the run holds no quantized model or `wish` would change a trained one, ProfileError when the
    target's numbers must be trained for.
    """
    asked = [name for name in variants if name in INTEGER]
    if not asked:
        _refuse_idle(wish)
        return None
    if run.scheme_name == "none":
        raise UsageError(
            f"the run {run.path} was tuned without quantization, so it has no {asked[0]}",
            "type --variants original,float32, or tune with a --scheme",
        )
    trained: Scheme = SCHEMES.load(run.scheme_name)
    computed: list[Scheme] = [SCHEMES.load(name) for name in profile.schemes]
    # A scheme chosen for this very target when the run was tuned stands; another target has its own.
    own = [trained] if profile.id == run.profile_name else []
    stored = next((each for each in [*own, *computed] if each.trained_as == trained.trained_as), computed[0])
    if wish.wide:
        refuse_raise(stored)
    if wish.wide or chosen_layers(run.quantized).raised:
        stored = replace(stored, opset=max(stored.opset, _OPSET_16_BIT))
    way = way_to(trained, stored)
    if way == "train":
        raise ProfileError(
            f"the run was trained for {trained.title}, and {profile.title} computes with {stored.title}, which must be "
            "trained for",
            f"type {tune_command(run, profile)}",
        )
    if way == "calibrate" and trained_state(run) == "trained":
        variants = _without_trained(variants)
    elif wish and trained.variant in asked and trained_state(run) == "trained":
        raise UsageError(
            f"--keep-float adds layers to those that {trained.variant} was trained without",
            f"type --variants {','.join(_without_trained(variants))}, or tune again with --keep-float",
        )
    again = way == "calibrate" or bool(wish)
    _refuse_missing(run, [name for name in variants if name in INTEGER], again)
    return Grids(trained, stored, again, tuple(variants))


def _refuse_missing(run: Run, asked: Sequence[str], again: bool) -> None:
    """Before anything is loaded: the numbers that the variants asked for are made of must be there, and be the run's.

    again   those of the calibrated variant are made anew
    """
    states = {"calibrated" if name.endswith(_CALIBRATED) else trained_state(run) for name in asked}
    for state in sorted(states - ({"calibrated"} if again else set())):
        place = run.quantized / f"{state}.safetensors"
        if not place.is_file():
            raise FolderError(f"{place} is missing", f"copy the whole run, or tune again with {_tuned_for(run)}")


def _tuned_for(run: Run) -> str:
    return f"--profile {run.profile_name} --scheme {run.scheme_name}" if run.profile_name else (
        f"--scheme {run.scheme_name}")  # fmt: skip


def _refuse_idle(wish: Wish) -> None:
    if wish:
        raise UsageError("--keep-float has no meaning for float files", "add int8-ptq to --variants, or leave it out")


def _without_trained(variants: Sequence[str]) -> tuple[str, ...]:
    """The calibrated variant in the place of the trained one."""
    trained = [name for name in INTEGER if not name.endswith(_CALIBRATED)]
    return tuple(dict.fromkeys(f"{name}{_CALIBRATED}" if name in trained else name for name in variants))


def tune_command(run: Run, profile: Profile) -> str:
    """What to type to train the run's float model for another target: no float epoch is done again."""
    settings = dict(run.document.get("settings", {}))
    data = settings.get("data", run.dataset["source"])
    words = ["edgeft", "tune", "--model", str(run.float_model), "--data", str(data), "--epochs", "0"]
    words += ["--profile", str(profile.source if profile.source and profile.id != profile.source.stem else profile.id)]
    defaults = {name: getattr(TuneSpec, name, None) for name in options_of(TuneSpec)}
    for name, value in settings.items():
        if name in defaults and name not in _SAID_ANEW and _plain(defaults[name]) != value:
            words += [f"--{spelled(name)}", ",".join(value) if isinstance(value, list) else str(value)]
    return shlex.join([*words, "--output", f"{run.path}-{profile.id}"])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
