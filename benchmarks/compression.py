"""edgeft's int8 against other tools' on one trained model: accuracy, agreement with float, size and latency.

    python -m benchmarks.compression RUN BUNDLE [--peers NAME …] [--samples 512] [--limit-s 900] [--output DIR]

Every peer is given the same float model and the same calibration samples (those of RUN), and writes one file in a
process of its own, DIR/peers/NAME.onnx; a second call takes the files that are there. `edgeft eval` then measures all
files in the same alternating blocks on the same held-out examples. A peer that fails, or is not done after `--limit-s`
seconds, is listed with what it said. Last line: which peers, if any, are both more accurate and faster.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgeft
from benchmarks.peers import PEERS
from benchmarks.table import Row, arguments, show
from edgeft.bundle import Bundle
from edgeft.runfolder import Run

OURS = "int8"


def written(run: Path, bundle: Path, samples: int, peer: str, limit_s: float, target: Path) -> str | None:
    """Has `peer` write `target`; what it said if it did not."""
    command = [sys.executable, "-m", "benchmarks.peers", str(run), str(bundle), str(samples), peer, str(target)]
    try:
        done = subprocess.run(command, timeout=limit_s, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    except subprocess.TimeoutExpired:
        return f"not done after {limit_s:g} s"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:300]


def beside(bundle: Bundle, files: Mapping[str, Path], folder: Path) -> Bundle:
    """A copy of `bundle` with one variant more a file."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.path, folder)
    document = {key: value for key, value in bundle.document.items() if key not in ("files", "manifest_sha256")}
    variants = bundle.variants
    for name, file in files.items():
        shutil.copy(file, folder / file.name)
        variants[name] = {"file": file.name, "title": (PEERS[name].__doc__ or name).strip().splitlines()[0]}
    return Bundle.write_manifest(folder, {**document, "variants": variants})


def peer_files(
    run: Path, bundle: Path, samples: int, peers: Sequence[str], limit_s: float, folder: Path
) -> dict[str, Path]:
    """The files of the peers that wrote one, by name; prints what the others said."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.onnx" for name in peers}
    for name, file in files.items():
        if not file.exists():
            print(f"{name} …", flush=True)
            said = written(run, bundle, samples, name, limit_s, file)
            if said:
                print(f"{name} failed: {said}", flush=True)
    return {name: file for name, file in files.items() if file.exists()}


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
    parser.add_argument("--limit-s", type=float, default=900.0)
    parser.add_argument("--output", type=Path, default=Path("compression"))
    parser.add_argument("--preset", default="standard")
    given = parser.parse_args()
    run, bundle = Run.open(given.run), Bundle.open(given.bundle)
    files = peer_files(given.run, given.bundle, given.samples, given.peers, given.limit_s, given.output / "peers")
    compared = beside(bundle, files, given.output / "bundle")
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
