"""edgeft's int8 against other tools' on one trained model: accuracy, agreement with float, size and latency.

    python -m benchmarks.compression RUN BUNDLE [--peers NAME …] [--samples 512] [--output DIR] [--json FILE]

Every peer is given the same float model and the same calibration samples (those of RUN), and writes one file into a
copy of BUNDLE; `edgeft eval` then measures all files in the same alternating blocks on the same held-out examples.
A peer that fails is listed with what it said. Last line: which peers, if any, are both more accurate and faster.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edgeft
from benchmarks.peers import PEERS, Job
from benchmarks.table import Row, arguments, show
from edgeft.bundle import Bundle
from edgeft.exporting.sources import load
from edgeft.runfolder import Run
from edgeft.tasks import TASKS

_BATCH = 32
OURS = "int8"


def job_of(run: Run, bundle: Bundle, samples: int) -> Job:
    """The float model and the first `samples` of the calibration samples of `run`, encoded as the device does."""
    task = TASKS.load(run.task)
    encoder = task.encoder(run.preprocessing, run.path)
    chosen = set(json.loads((run.quantized / "calibration.json").read_text())["ids"][:samples])
    examples = [example.content for example in run.examples("train") if example.id in chosen]
    feeds = [encoder(examples[start : start + _BATCH]) for start in range(0, len(examples), _BATCH)]
    names = [spec["name"] for spec in bundle.document["inputs"]]
    return Job(
        bundle.file_of("float32"),
        lambda: load(run.float_model, task.auto_model, run.labels),
        [{name: feed[name] for name in names} for feed in feeds],
        "attention_mask" in names,
    )


def with_peers(job: Job, bundle: Bundle, peers: Sequence[str], folder: Path) -> tuple[Bundle, dict[str, str]]:
    """A copy of `bundle` with one file more a peer, and what the peers that failed said."""
    shutil.copytree(bundle.path, folder)
    document = {key: value for key, value in bundle.document.items() if key not in ("files", "manifest_sha256")}
    variants, failed = bundle.variants, {}
    for name in peers:
        print(f"{name} …", flush=True)
        try:
            PEERS[name](job, folder / f"{name}.onnx")
        except Exception as error:  # other tools' errors have no common base
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            (folder / f"{name}.onnx").unlink(missing_ok=True)
        else:
            variants[name] = {"file": f"{name}.onnx", "title": (PEERS[name].__doc__ or name).strip().splitlines()[0]}
    return Bundle.write_manifest(folder, {**document, "variants": variants}), failed


def figures(variant: dict[str, Any]) -> dict[str, tuple[float, str]]:
    blocks = sorted(block["p50_s"] for block in variant["latency"]["blocks"])
    return {
        "accuracy": (100 * variant["accuracy"]["value"], "%"),
        "latency p50": (1000 * blocks[len(blocks) // 2], "ms"),
        "integer kernels": (variant["matrix_kernels"]["integer"], ""),
        "file": (variant["size_bytes"] / 1e6, "MB"),
    }


def better(result: dict[str, Any]) -> list[str]:
    """Peers that are both more accurate and faster than edgeft's trained file."""
    ours = figures(result["variants"][OURS])
    found = []
    for name, variant in result["variants"].items():
        theirs = figures(variant)
        accurate, fast = theirs["accuracy"] > ours["accuracy"], theirs["latency p50"] < ours["latency p50"]
        if name in PEERS and accurate and fast:
            found.append(name)
    return found


def main() -> None:
    parser = arguments("edgeft's int8 against other tools' on one trained model")
    parser.add_argument("run", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--output", type=Path, default=Path("compression"))
    parser.add_argument("--preset", default="standard")
    given = parser.parse_args()
    run, bundle = Run.open(given.run), Bundle.open(given.bundle)
    job = job_of(run, bundle, given.samples)
    compared, failed = with_peers(job, bundle, given.peers, given.output / "bundle")
    for name, said in failed.items():
        print(f"{name} failed: {said}", flush=True)
    edgeft.evaluate(compared, preset=given.preset, threads=2, output=given.output / "result")
    result = json.loads((given.output / "result" / "result.json").read_text())
    base = figures(result["variants"]["float32"])
    rows = [
        Row(name, run.document["model"]["given"][-20:], metric, value, unit, value / base[metric][0] if unit else None)
        for name, variant in result["variants"].items()
        for metric, (value, unit) in figures(variant).items()
    ]
    show("compression", rows, given.json)
    print(f"both more accurate and faster than {OURS}: {', '.join(better(result)) or 'none'}")


if __name__ == "__main__":
    main()
