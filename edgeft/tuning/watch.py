"""What can be seen of a training phase while it runs: a bar, lines in metrics.jsonl, and an end when it has to end."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from edgeft import console, files, ranks

METRICS = "metrics.jsonl"
_PREFIX = "eval_"


def append_metrics(file: Path, line: dict[str, Any]) -> None:
    """Add one JSON line; figures that are not finite are left out, since JSON has no word for them. Only the first of
    several processes does."""
    if not ranks.first():
        return
    finite = {key: value for key, value in line.items() if not isinstance(value, float) or math.isfinite(value)}
    with files.disk_errors(file), open(file, "a", encoding="utf-8") as opened:
        opened.write(json.dumps(finite, ensure_ascii=False) + "\n")


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a line that a kill cut off is left out."""
    if not file.is_file():
        return []
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def forget_after(file: Path, phase: str, step: int) -> None:
    """Drop the lines of `phase` after `step`: a resumed phase writes them again."""
    if not ranks.first():
        return
    kept = [line for line in read_metrics(file) if line["phase"] != phase or line["step"] <= step]
    if file.is_file():
        files.write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


class Watch(TrainerCallback):
    """Shows a bar over all samples of a phase and writes metrics.jsonl."""

    def __init__(self, phase: str, file: Path, samples: int, batch_size: int) -> None:
        self._phase, self._file, self._samples, self._batch_size = phase, file, samples, batch_size
        self._bar: console.Bar | None = None
        self._figures: dict[str, float | str] = {}
        self._since = (time.monotonic(), 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        forget_after(self._file, self._phase, state.global_step)
        self._bar = console.Bar(self._phase, self._samples, "samples")
        self._bar.advance(min(self._samples, state.global_step * self._batch_size))
        self._since = (time.monotonic(), state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.advance(self._batch_size, **self._figures)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if not logs or not any(key == "loss" or key.startswith(_PREFIX) for key in logs):
            return
        line: dict[str, Any] = {"phase": self._phase, "epoch": round(state.epoch or 0.0, 4), "step": state.global_step}
        if "loss" in logs:
            self._figures["loss"] = f"{logs['loss']:.3f}"
            rate = self._rate(state.global_step)
            line |= {"loss": logs["loss"], "lr": logs.get("learning_rate"), "samples_per_s": rate}
        metrics = {key.removeprefix(_PREFIX): value for key, value in logs.items() if key.startswith(_PREFIX)}
        if metrics:
            line["metrics"] = metrics
            self._say(state, metrics)
        append_metrics(self._file, line)

    def _rate(self, step: int) -> float:
        before, step_before = self._since
        now = time.monotonic()
        self._since = (now, step)
        return (step - step_before) * self._batch_size / max(now - before, 1e-9)

    def _say(self, state: Any, metrics: dict[str, float]) -> None:
        self._figures.update({name: f"{value:.4f}" for name, value in metrics.items()})
        figures = ", ".join(f"validation {name} {value:.4f}" for name, value in metrics.items())
        loss = f", loss {self._figures['loss']}" if "loss" in self._figures else ""
        console.say(f"{self._phase}: epoch {state.epoch or 0:.3g}, {figures}{loss}")
        # The time an evaluation took does not belong to the speed of training.
        self._since = (time.monotonic(), state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def exhausted(log: Sequence[Mapping[str, float]], metric: str, patience: int) -> bool:
    """Were the last `patience` evaluations in Trainer's log all without a better score?"""
    values = [entry[_PREFIX + metric] for entry in log if _PREFIX + metric in entry]
    return bool(values) and len(values) - 1 - values.index(max(values)) >= patience


class Patience(TrainerCallback):
    """Stop after `patience` evaluations in a row without a better score. Reads the log, so a resume forgets nothing."""

    def __init__(self, metric: str, patience: int) -> None:
        self._metric, self._patience = metric, patience

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if exhausted(state.log_history, self._metric, self._patience):
            console.say(f"stopped early: {self._patience} evaluations without a better score")
            control.should_training_stop = True
