"""What quantizing each layer costs, as a file, as a part of the manifest, and as a section of export.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft import files
from edgeft.exporting.table import table
from edgeft.quant.sensitivity import LayerLoss, Sensitivity

FILE = "sensitivity.json"
SCHEMA = "edgeft-sensitivity/1"
# How many layers manifest and report show; the file has all.
WORST = 10


def write_costs(found: Sensitivity, metric: str, folder: Path) -> dict[str, Any]:
    """Write sensitivity.json with every layer; returns the same with the worst alone, for the manifest."""
    head: dict[str, Any] = {"variant": "int8-ptq", "split": "validation", "n": found.n, "metric": metric}
    if found.float_score is not None:
        head["float_score"] = found.float_score
    head["all_quantized"] = found.whole.as_json()
    rows = [_row(each) for each in found.layers]
    files.write_json(folder / FILE, {"schema": SCHEMA, **head, "layers": rows})
    return {**head, "layers": len(rows), "file": FILE, "worst": rows[:WORST]}


def _row(each: LayerLoss) -> dict[str, Any]:
    layer = each.layer
    named = {"layer": layer.name, "kind": layer.kind, "module": layer.module}
    return {**named, "alone": each.alone.as_json(), "without": each.without.as_json()}


def costs_section(found: Mapping[str, Any]) -> str:
    """The section of export.md; empty when nothing was measured."""
    if not found:
        return ""
    metric = found["metric"]
    rows = [
        [row["layer"], row["module"] or row["kind"], *_figures(row["alone"]), *_figures(row["without"])]
        for row in found["worst"]
    ]
    alone, without = ("alone: KL", "same answer", metric), ("all but it: KL", "same answer", metric)
    whole = _figures(found["all_quantized"])
    of_float = f", float {found['float_score']:.4f}" if "float_score" in found else ""
    return "\n\n".join(
        [
            "## What quantizing each layer costs",
            f"int8-ptq against the same graph in float, on {found['n']} {found['split']} examples; KL in nats. "
            "Every range is set on float numbers here, so that one bad layer does not hide those behind it.",
            f"All {found['layers']} layers quantized: KL {whole[0]}, same answer {whole[1]}, {metric} {whole[2]}"
            f"{of_float}. The {len(rows)} that do most harm when each is quantized alone, and what is left when all "
            f"but it are ({found['file']} has every layer; `--keep-float NAME` keeps one in float):",
            table(["layer", "module", *alone, *without], rows),
        ]
    )


def _figures(loss: Mapping[str, float]) -> Sequence[str]:
    score = f"{loss['score']:.4f}" if "score" in loss else "not measured"
    return f"{loss['kl']:.3g}", f"{loss['agreement']:.2%}", score
