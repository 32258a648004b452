"""One fresh process per variant: cold start, peak memory, and which kernels and providers really ran.

A fresh process is the only one whose peak is the variant's own, and whose first run is a first run. This module is
both sides: `probe` starts the process, and run as `python -m edgeft.evaluation.probe` it is that process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.errors import EdgeftError, MachineError, ModelError
from edgeft.evaluation.session import OrtModel, Settings, feed_for, kept_to, open_model, run_logits
from edgeft.evaluation.shelf import give_memory_back, opening
from edgeft.files import disk_errors

_TIMEOUT_S = 1800.0
# Kernels that multiply matrices, by onnxruntime's names after its optimizer; the first set computes in integers.
INTEGER_KERNELS = frozenset(
    "QLinearConv QGemm QLinearMatMul MatMulInteger MatMulIntegerToFloat DynamicQuantizeMatMul ConvInteger QAttention "
    "DynamicQuantizeLSTM MatMulNBits".split()
)
FLOAT_KERNELS = frozenset(
    "Conv FusedConv Gemm FusedGemm MatMul FusedMatMul Attention MultiHeadAttention LSTM GRU ConvTranspose "
    "NhwcFusedConv".split()
)


@dataclass(frozen=True)
class Probe:
    """What a fresh process says of one variant.

    load_s, first_s     opening the session; the first query after it. Seconds
    peak_rss_bytes      highest resident memory of the whole process, interpreter and runtime included
    base_rss_bytes      resident before the model was opened
    nodes_by_provider   execution provider -> nodes of one profiled run
    nodes_by_kernel     kernel name -> nodes of that run
    query_s             median of the queries after the first: how long the passes take is told from it
    """

    load_s: float
    first_s: float
    peak_rss_bytes: int | None
    base_rss_bytes: int | None
    nodes_by_provider: Mapping[str, int] = field(default_factory=dict)
    nodes_by_kernel: Mapping[str, int] = field(default_factory=dict)
    query_s: float = 0.0

    @property
    def session_bytes(self) -> int | None:
        """What the model took at most, opening it included; None where the system does not say."""
        known = self.peak_rss_bytes is not None and self.base_rss_bytes is not None
        return max(self.peak_rss_bytes - self.base_rss_bytes, 0) if known else None  # type: ignore[operator]

    @property
    def integer_nodes(self) -> int:
        return sum(n for name, n in self.nodes_by_kernel.items() if name in INTEGER_KERNELS)

    @property
    def float_nodes(self) -> dict[str, int]:
        """Matrix kernels that compute in float, by name."""
        return {name: n for name, n in self.nodes_by_kernel.items() if name in FLOAT_KERNELS}


def probe(model: Path, settings: Settings, output: str, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> Probe:
    """Open and run `model` on `feeds` in a fresh process. Raises what opening raises, MachineError for a crash."""
    with tempfile.TemporaryDirectory(prefix="edgeft-") as folder:
        given = Path(folder) / "feeds.npz"
        with disk_errors(given):
            np.savez(given, **{f"{i}/{key}": value for i, feed in enumerate(feeds) for key, value in feed.items()})  # type: ignore[arg-type]
        job = {"model": str(model), "settings": settings.as_json(), "output": output, "folder": folder}
        command = [sys.executable, "-m", "edgeft.evaluation.probe"]
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": paths}
        try:
            child = subprocess.run(
                command, input=json.dumps(job), capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise MachineError(
                f"a process that loads {model.name} did not end within {_TIMEOUT_S:.0f} s", "use a smaller model"
            ) from error
        answer = Path(folder) / "answer.json"
        if not answer.is_file():
            raise _crash(model.name, child.returncode, child.stderr)
        document = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in document:
        kind = {"ModelError": ModelError, "MachineError": MachineError}.get(document["kind"], EdgeftError)
        raise kind(document["error"], document["next_step"])
    return Probe(**document)


def _crash(name: str, code: int, stderr: str) -> MachineError:
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    next_step = "free memory, or use a smaller model" if code == -9 else "edgeft doctor shows what is wrong"
    return MachineError(f"a process that loads {name} {how} ({last})", next_step)


def memory_bytes(key: str, status: Path = Path("/proc/self/status")) -> int | None:
    """VmHWM (peak) or VmRSS (now) of this process; without /proc (macOS) only the peak is known.

    Not ru_maxrss where there is /proc: on Linux a child inherits its parent's peak there across exec.
    """
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return _peak_bytes() if key == "VmHWM" else None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def _peak_bytes() -> int | None:
    """By getrusage, which Windows does not have. macOS counts bytes there, others kilobytes (getrusage(2))."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_nodes(profile: Path) -> tuple[dict[str, int], dict[str, int]]:
    """(nodes by provider, nodes by kernel) of one run, from onnxruntime's profile: a JSON list of Chrome events."""
    nodes: dict[Any, tuple[str, str]] = {}
    for event in json.loads(profile.read_text(encoding="utf-8")):
        args = event.get("args", {})
        if event.get("cat") == "Node" and args.get("provider"):
            name = event["name"].removesuffix("_kernel_time")
            nodes[(args.get("node_index"), name)] = (args["provider"], args.get("op_name", ""))
    return (
        dict(Counter(provider for provider, _ in nodes.values())),
        dict(Counter(kernel for _, kernel in nodes.values())),
    )


def _examine(job: Mapping[str, Any]) -> Probe:
    path, folder, output = Path(job["model"]), Path(job["folder"]), job["output"]
    settings = Settings.from_json(job["settings"])
    with kept_to(settings.affinity):
        return _measure(path, folder, output, settings)


def _measure(path: Path, folder: Path, output: str, settings: Settings) -> Probe:
    import onnxruntime  # noqa: F401  (its import is not part of the model's load time)

    examples = _load_feeds(folder / "feeds.npz")
    base = memory_bytes("VmRSS")
    start = time.perf_counter()
    with opening():  # without it the peak is up to half as high again, by how the heap happens to be filled
        model = open_model(path, settings, output)
    load_s = time.perf_counter() - start
    feeds = [feed_for(model, arrays, path.name) for arrays in examples]
    start = time.perf_counter()
    run_logits(model, feeds[0], 1, path.name)
    first_s = time.perf_counter() - start
    later = []
    for feed in feeds:
        start = time.perf_counter()
        run_logits(model, feed, 1, path.name)
        later.append(time.perf_counter() - start)
    peak = memory_bytes("VmHWM")
    del model
    give_memory_back()
    with opening():
        profiled = open_model(path, settings, output, profile_prefix=folder / "profile")
    providers, kernels = _profile(profiled, feeds[0], path.name)
    return Probe(load_s, first_s, peak, base, providers, kernels, float(np.median(later)))


def _profile(model: OrtModel, feed: Mapping[str, NDArray[Any]], name: str) -> tuple[dict[str, int], dict[str, int]]:
    run_logits(model, feed, 1, name)
    return count_nodes(Path(model.session.end_profiling()))


def _load_feeds(path: Path) -> list[dict[str, NDArray[Any]]]:
    feeds: dict[int, dict[str, NDArray[Any]]] = {}
    with np.load(path) as stored:
        for entry in stored.files:
            number, _, key = entry.partition("/")
            feeds.setdefault(int(number), {})[key] = stored[entry]
    return [feeds[number] for number in sorted(feeds)]


def _main() -> None:
    job = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = asdict(_examine(job))
    except EdgeftError as error:
        answer = {"error": error.what, "next_step": error.next_step, "kind": type(error).__name__}
    (Path(job["folder"]) / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    _main()
