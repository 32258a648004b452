"""How much memory an evaluation takes: `edgeft eval` of one bundle, all its processes watched from outside.

    python -m benchmarks.memory [BUNDLE] [--megabytes 80] [--json FILE]

Required: at most the larger model's file + 120 MB. Without a BUNDLE, one is made of two float models of so many
megabytes and an 8-bit one: too much to have open at a time. Systems: onnxruntime alone in a process that opens the
largest model and runs it once; models opened in turn in one process; and each block in a fresh process (which edgeft
chooses where closing a model does not give its memory back).

    peak of the process    the most that one process had resident (VmHWM)
    peak of all            the most that all processes of the evaluation had resident at a moment, pages that they share
                           counted once (Pss of smaps_rollup, looked at about 50 times a second). Linux only
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.table import Row, arguments, show
from edgeft.bundle import Bundle
from tests.evaluation.make_bundle import SIZE, make_bundle

ALLOWED_BYTES, WIDTH = 120_000_000, 1024
_ALONE = """
import sys, time
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
feed = {}
for one in session.get_inputs():
    shape = [size if isinstance(size, int) else 1 for size in one.shape]
    feed[one.name] = numpy.zeros(shape, "int64" if "int64" in one.type else "float32")
session.run(None, feed)
time.sleep(0.5)
"""
_EVAL = "from edgeft.cli import main; main()"
SYSTEMS = {
    "in turn in one process": _EVAL,
    "each block in a fresh one": "from edgeft.evaluation import shelf\n"
    f"shelf.closing_gives_memory_back = lambda provider: False\n{_EVAL}",
}


def large_model(megabytes: int, integer: bool) -> onnx.ModelProto:
    """A perceptron with matrices of 4 MB, so many megabytes in float; 8-bit weights take a quarter."""
    rng = np.random.default_rng(0)
    layers = max(1, round(megabytes * 1e6 / (4 * WIDTH * WIDTH)))
    shapes = [(3 * SIZE * SIZE, WIDTH), *[(WIDTH, WIDTH)] * layers, (WIDTH, 3)]
    nodes = [helper.make_node("Flatten", ["pixel_values"], ["y"])]
    values: dict[str, np.ndarray] = {}
    if integer:
        values = {"x_scale": np.float32(0.05), "x_zero": np.uint8(128), "w_zero": np.int8(0)}
    last = "y"
    for k, shape in enumerate(shapes):
        weight, wanted = rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32), f"w{k}"
        if integer:
            scale = float(np.abs(weight).max()) / 127
            values |= {f"q{k}": np.round(weight / scale).astype(np.int8), f"scale{k}": np.float32(scale)}
            nodes += [
                helper.make_node("QuantizeLinear", [last, "x_scale", "x_zero"], [f"xq{k}"]),
                helper.make_node("DequantizeLinear", [f"xq{k}", "x_scale", "x_zero"], [f"x{k}"]),
                helper.make_node("DequantizeLinear", [f"q{k}", f"scale{k}", "w_zero"], [wanted]),
            ]
            last = f"x{k}"
        else:
            values[wanted] = weight
        nodes.append(helper.make_node("MatMul", [last, wanted], [last := f"y{k}"]))
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes, "large",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


def kilobytes(pid: int, file: str, key: str) -> int:
    """0 for a process that has gone."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)


def watched(code: str, *arguments: str) -> tuple[int, int, float]:
    """(bytes of the largest process, bytes of all at a time, seconds) of a command and its children."""
    command = [sys.executable, "-c", code, *arguments]
    begin, single, together = time.monotonic(), 0, 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ)) as process:
        while process.poll() is None:
            pids = [process.pid, *children(process.pid)]
            single = max(single, *(kilobytes(pid, "status", "VmHWM") for pid in pids))
            together = max(together, sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in pids))
            time.sleep(0.02)
    if process.returncode != 0:
        raise SystemExit(f"the evaluation ended with code {process.returncode}")
    return single * 1024, together * 1024, time.monotonic() - begin


def compare(bundle: Bundle) -> list[Row]:
    largest = max(entry["bytes"] for entry in bundle.variants.values())
    allowed, label = largest + ALLOWED_BYTES, f"{bundle.path.name}, {largest / 1e6:.0f} MB"
    rows = [Row("required", label, "at most", allowed / 1e6, "MB", 1.0)]
    file = bundle.file_of(max(bundle.variants, key=lambda name: bundle.variants[name]["bytes"]))
    alone, _, _ = watched(_ALONE, str(file))
    rows.append(Row("onnxruntime alone", label, "peak of a process", alone / 1e6, "MB", alone / allowed))
    for name, code in SYSTEMS.items():
        with tempfile.TemporaryDirectory(prefix="edgeft-") as folder:
            single, together, seconds = watched(
                code, "-q", "eval", str(bundle.path), "--preset", "quick", "--meter", "none", "--profile", "generic",
                "-o", str(Path(folder) / "result"),
            )  # fmt: skip
        rows.append(Row(name, label, "peak of a process", single / 1e6, "MB", single / allowed))
        rows.append(Row(name, label, "peak of all", together / 1e6, "MB", together / allowed))
        rows.append(Row(name, label, "wall time", seconds, "s"))
    return rows


def main() -> None:
    parser: argparse.ArgumentParser = arguments("Memory of an evaluation, against the larger file + 120 MB.")
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--megabytes", type=int, default=80, help="size of the float models that are made")
    given = parser.parse_args()
    if given.bundle is not None:
        show("memory", compare(Bundle.open(given.bundle)), given.json)
        return
    with tempfile.TemporaryDirectory(prefix="edgeft-") as folder:
        float32 = large_model(given.megabytes, integer=False)
        models = {"original": float32, "float32": float32, "int8": large_model(given.megabytes, integer=True)}
        show("memory", compare(make_bundle(Path(folder) / "large", n=30, models=models)), given.json)


if __name__ == "__main__":
    main()
