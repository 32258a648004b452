"""Packages that may be missing, broken or wrong together: told apart, and what to type.

A package is looked for by module name, never by distribution name: a vendor's build of onnxruntime satisfies.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
import subprocess
import sys
from importlib import metadata

from edgeft.errors import MachineError

# module -> the extra of edgeft that brings it
EXTRA_OF = {
    "onnxruntime": "device", "PIL": "device", "tokenizers": "device",
    "torch": "train", "transformers": "train", "timm": "train", "accelerate": "train", "safetensors": "train",
    "onnx": "train", "onnxscript": "train", "matplotlib": "report",
    "soundfile": "audio", "soxr": "audio", "captum": "explain", "peft": "lora", "pyarrow": "parquet",
    "optuna": "search",
}  # fmt: skip
# Needed by edgeft but by no extra of it: the user asked for something these do.
_OTHERS = {"datasets": "datasets"}

# Signals a processor raises at instructions it does not have, and at broken binaries.
_FATAL = (signal.SIGILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
_TRIAL_TIMEOUT_S = 120.0  # the first import from a slow SD card takes tens of seconds


def how_to_install(module: str) -> str:
    top = module.partition(".")[0]
    if top in EXTRA_OF:
        return f"pip install 'edgeft[{EXTRA_OF[top]}]'"
    return f"pip install {_OTHERS.get(top, top)}"


def missing(error: ModuleNotFoundError) -> MachineError | None:
    """The line for a package that is not installed; None when the missing module is a part of edgeft itself."""
    name = error.name or ""
    if not name or name.partition(".")[0] == "edgeft":
        return None
    return MachineError(f"the Python module {name} is not installed here", how_to_install(name))


def is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def version_of(module: str) -> str | None:
    """Version of the distribution that provides `module`, without importing it; None when it is not installed."""
    name = distribution_of(module)
    return metadata.version(name) if name else None


def distribution_of(module: str) -> str | None:
    """Which distribution provides `module`, as pip names it ("onnxruntime-gpu"); None when none is installed."""
    return next((name for name in dict.fromkeys((*_distributions(module), module)) if _has(name)), None)


def _distributions(module: str) -> list[str]:
    known = {"PIL": ["Pillow"], "onnxruntime": ["onnxruntime", "onnxruntime-gpu"]}
    if module in known and any(_has(name) for name in known[module]):
        return known[module]
    return metadata.packages_distributions().get(module, []) if module in known else []


def _has(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def why_not_importable(module: str, python: str = sys.executable) -> MachineError | None:
    """Import `module` in a child process: None when that works, else the error to show.

    A build for another processor ends the interpreter with a signal (onnxruntime on a Raspberry Pi 4,
    microsoft/onnxruntime#24112), which no `except` can catch; here it ends the child only.
    """
    if not is_installed(module):
        return missing(ModuleNotFoundError(name=module))
    command = [python, "-c", f"import {module}"]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TRIAL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return MachineError(f"import {module} did not end within {_TRIAL_TIMEOUT_S:.0f} s", "free memory and try again")
    return None if trial.returncode == 0 else _explain(module, trial.returncode, trial.stderr)


def _explain(module: str, code: int, stderr: str) -> MachineError:
    version = version_of(module) or "of unknown version"
    if code < 0 and -code in _FATAL:
        name = signal.Signals(-code).name
        what = f"import {module} ({version}) ends Python with {name}: this build uses instructions this processor lacks"
        return MachineError(what, _known_to_work(module))
    if "_ARRAY_API" in stderr or "compiled using NumPy 1.x" in stderr:
        numpy = version_of("numpy") or "2"
        return MachineError(
            f"{module} {version} was built for NumPy 1 and NumPy {numpy} is installed",
            "pip install 'numpy<2', or a newer onnxruntime (1.19 and later take NumPy 2)",
        )
    lines = stderr.strip().splitlines()
    reason = lines[-1] if lines else f"exit code {code}"
    return MachineError(f"import {module} ({version}) fails: {reason}", f"reinstall it: {how_to_install(module)}")


def _known_to_work(module: str) -> str:
    # Users of the reports above went back to this version on a Raspberry Pi 4.
    return "pip install 'onnxruntime==1.20.1'" if module == "onnxruntime" else f"reinstall it: {how_to_install(module)}"


def need(module: str) -> None:
    """Raises MachineError when `module` cannot be imported here."""
    reason = why_not_importable(module)
    if reason is not None:
        raise reason
