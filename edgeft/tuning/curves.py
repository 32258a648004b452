"""curves.png: loss and validation score by step, one stretch a phase."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from edgeft import console, files
from edgeft.tuning.watch import read_metrics


def draw_curves(metrics: Path, picture: Path) -> bool:
    """Draw metrics.jsonl; without matplotlib one line says that there is no picture. Returns whether it was drawn."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        console.say(f"{picture.name} is left out: matplotlib is not installed (pip install 'edgeft[report]')")
        return False
    lines = read_metrics(metrics)
    if not lines:
        return False
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8, 4), layout="constrained")
        _draw(figure.add_subplot(), lines)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
    files.write_bytes(picture, buffer.getvalue())
    return True


def _draw(loss_axis: Any, lines: list[dict[str, Any]]) -> None:
    score_axis = loss_axis.twinx()
    start = 0
    for phase in dict.fromkeys(line["phase"] for line in lines):
        part = [line for line in lines if line["phase"] == phase]
        losses = [(start + line["step"], line["loss"]) for line in part if "loss" in line]
        scores = [(start + line["step"], *line["metrics"].items()) for line in part if "metrics" in line]
        loss_axis.plot(*_columns(losses), color="tab:blue", linewidth=1)
        score_axis.plot([s[0] for s in scores], [s[1][1] for s in scores], color="tab:orange", marker="o", markersize=4)
        if scores:
            score_axis.set_ylabel(f"validation {scores[0][1][0]}", color="tab:orange")
        end = start + max(line["step"] for line in part)
        loss_axis.axvspan(start, end, alpha=0.06 if start else 0.0, color="black", linewidth=0)
        loss_axis.annotate(phase, (start, 1.01), xycoords=("data", "axes fraction"))
        start = end
    loss_axis.set_xlabel("step")
    loss_axis.set_ylabel("loss", color="tab:blue")
    loss_axis.set_ylim(bottom=0)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
