"""What every benchmark prints and writes: rows of one comparison, and where they were measured.

{"name", "machine", "versions", "rows": [{"system", "model", "metric", "value", "unit", "ratio_to_baseline"}]}
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeft.files import write_json
from edgeft.machine import describe_machine

PACKAGES = ("edgeft", "torch", "transformers", "onnx", "onnxruntime", "torchao", "nncf", "numpy")


@dataclass(frozen=True)
class Row:
    system: str
    model: str
    metric: str
    value: float
    unit: str
    ratio_to_baseline: float | None = None


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser


def show(name: str, rows: list[Row], json_file: Path | None) -> None:
    """Print the rows as a table of 80 columns, and write them where asked."""
    print(f"{'system':26} {'model':20} {'metric':16} {'value':>9}      ratio")
    for row in rows:
        ratio = "" if row.ratio_to_baseline is None else f"{row.ratio_to_baseline:.2f}"
        print(f"{row.system:26} {row.model:20} {row.metric:16} {row.value:9.4g} {row.unit:4} {ratio:>5}")
    save(name, rows, json_file)


def save(name: str, rows: list[Row], json_file: Path | None) -> None:
    """Write the rows where asked."""
    if json_file is not None:
        document = {"name": name, "machine": describe_machine(), "versions": versions()}
        write_json(json_file, {**document, "rows": [asdict(row) for row in rows]})
