"""The trials of a search for a person: a table, and a plot of the score against each value."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeft import console, files
from edgeft.evaluation.limits import held_text
from edgeft.tuning.constraints import total_over

_COLUMNS = 3


def table(trials: Sequence[Any]) -> list[str]:
    """Lines "trial  validation  values…", the best first, then those that were given up, with the reason."""
    ended = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED") and "chosen" in trial.user_attrs]
    fields = list(dict.fromkeys(field for trial in ended for field in trial.user_attrs["chosen"]))
    order = sorted(ended, key=_place)
    limits = list(dict.fromkeys(one["text"] for trial in ended for one in trial.user_attrs.get("kept", ())))
    rows = [["trial", "validation", *limits, *fields], *(_row(trial, limits, fields) for trial in order)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _place(trial: Any) -> tuple[bool, float, float, int]:
    over = total_over(trial.user_attrs.get("kept", ()))
    return (trial.state.name != "COMPLETE", over, -(trial.value or 0.0), trial.number)


def _row(trial: Any, limits: Sequence[str], fields: Sequence[str]) -> list[str]:
    score = f"{trial.value:.4f}" if trial.state.name == "COMPLETE" else f"given up: {_short(trial.user_attrs['why'])}"
    kept = {one["text"]: one for one in trial.user_attrs.get("kept", ())}
    held = [_held(text, kept[text]) if text in kept else "" for text in limits]
    return [str(trial.number), score, *held, *(_cell(trial.user_attrs["chosen"].get(field, "")) for field in fields)]


def _held(text: str, one: Mapping[str, Any]) -> str:
    """ "3.91 MB", and "over" behind what misses its limit."""
    return f"{held_text(text, one)}{' over' if one['over'] > 0 else ''}"


def _short(why: str) -> str:
    return why if len(why) <= 40 else f"{why[:39]}…"


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def draw(trials: Sequence[Any], picture: Path) -> bool:
    """Draw the score by trial and against every value, what misses a limit in red; a line without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        console.say(f"{picture.name} is left out: matplotlib is not installed (pip install 'edgeft[report]')")
        return False
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not done:
        return False
    fields = list(done[0].user_attrs["chosen"])
    rows = -(-(len(fields) + 1) // _COLUMNS)
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(3 * _COLUMNS, 2.4 * rows), layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).flat
        for axis, field in zip(axes, ["trial", *fields], strict=False):
            _panel(axis, field, done)
        for axis in list(axes)[len(fields) + 1 :]:
            axis.set_axis_off()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
    files.write_bytes(picture, buffer.getvalue())
    return True


def _panel(axis: Any, field: str, trials: Sequence[Any]) -> None:
    values = [trial.number if field == "trial" else trial.user_attrs["chosen"][field] for trial in trials]
    words = not all(isinstance(value, (int, float)) for value in values)
    places = [str(value) for value in values] if words else values
    missed = [total_over(trial.user_attrs.get("kept", ())) > 0 for trial in trials]
    colours = ["tab:red" if over else "tab:blue" for over in missed]
    axis.scatter(places, [trial.value for trial in trials], s=12, c=colours)
    if not words and field != "trial" and max(values) > 10 * min(values) > 0:
        axis.set_xscale("log")
    axis.set_xlabel(field)
    axis.set_ylabel("validation" if field == "trial" else "")
