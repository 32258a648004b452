"""Which ONNX opset and IR version the files get: checked against variants and target before any work."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgeft.errors import ProfileError, UsageError
from edgeft.profile import Profile
from edgeft.scheme import Scheme

# torch's exporter makes graphs for opsets from 18 on and knows no later one than 23 (torch/onnx/_constants.py).
_LOWEST_FLOAT, _HIGHEST = 18, 23
# Default opset of files that need no particular one.
_USUAL = 20
# The first onnxruntime release (1.x) that implements an opset, with the IR version of that ONNX release.
# Source: ONNX Runtime, "Compatibility", ONNX opset support; ONNX docs/Versioning.md.
_RUNTIMES = ((22, 23, 11), (21, 22, 10), (18, 21, 10), (17, 20, 9), (15, 19, 9), (14, 18, 8), (12, 17, 8))


@dataclass(frozen=True)
class Versions:
    """What every file of a bundle is written as."""

    opset: int
    ir_version: int


def lowest_opset(scheme: Scheme | None) -> int:
    """The lowest opset that can say what the scheme computes; None is a bundle of float files."""
    return _LOWEST_FLOAT if scheme is None else scheme.opset


def choose_versions(scheme: Scheme | None, asked: int | None, profile: Profile) -> Versions:
    """The opset asked for, or the lowest that does, with the lowest IR version that may carry it.

    scheme   grids of the integer variants, None when none is asked for
    Raises UsageError for an opset that cannot be written, ProfileError for one the target's runtime does not load.
    """
    lowest = lowest_opset(scheme)
    what = f"{scheme.title}" if scheme is not None else "a float model"
    if asked is not None and asked < lowest:
        raise UsageError(
            f"--opset {asked} is too low for {what}", f"leave it out, or type --opset {lowest}, the lowest that does"
        )
    if asked is not None and asked > _HIGHEST:
        raise UsageError(f"--opset {asked} is more than the exporter knows", f"type --opset {_HIGHEST} or lower")
    loads_opset, loads_ir = limits(profile)
    opset = asked or max(lowest, min(_USUAL, loads_opset or _USUAL))
    ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    _fits(profile, opset, ir_version, loads_opset, loads_ir, what, asked is not None and lowest < opset)
    return Versions(opset, ir_version)


def limits(profile: Profile) -> tuple[int | None, int | None]:
    """Highest opset and IR version the target's runtime loads: stated, or those of its oldest onnxruntime."""
    stated = profile.runtime.get("onnxruntime_min")
    known: tuple[int | None, int | None] = (None, None)
    if stated is not None:
        minor = int(str(stated).split(".")[1])
        known = next(((opset, ir) for first, opset, ir in _RUNTIMES if minor >= first), (_RUNTIMES[-1][1] - 1, 7))
        if minor > _RUNTIMES[0][0]:
            known = (None, None)
    return profile.max_opset or known[0], profile.max_ir or known[1]


def _fits(
    profile: Profile, opset: int, ir_version: int, loads_opset: int | None, loads_ir: int | None, what: str, lower: bool
) -> None:
    update = "update the runtime on the target and its profile, or choose another --profile"
    next_step = "type a lower --opset" if lower else update
    runtime = f"the runtime of {profile.title} loads"
    if loads_opset is not None and opset > loads_opset:
        raise ProfileError(
            f"{runtime} opsets up to {loads_opset}, and {what} needs opset {opset}", next_step
        )
    if loads_ir is not None and ir_version > loads_ir:
        raise ProfileError(
            f"{runtime} ONNX IR versions up to {loads_ir}, and opset {opset} needs {ir_version}", next_step
        )
