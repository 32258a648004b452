"""int8-ptq calibrated again from the float model: for the grids of another target, or with more layers in float."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from edgeft.data.dataset import Example
from edgeft.errors import FolderError
from edgeft.quant import store
from edgeft.quant.calibration import METHOD, calibrate_on
from edgeft.quant.choice import CHECKED, Wish, automatic, named
from edgeft.quant.engine import QuantModel
from edgeft.quant.held import held, score_of
from edgeft.runfolder import Run
from edgeft.tasks.task import Encoder, Task


@dataclass(frozen=True)
class Again:
    """How a freshly built model is calibrated: on the training samples and by the method of the run.

    wish   layers to keep float beside the run's own
    """

    run: Run
    task: Task
    encoder: Encoder
    wish: Wish

    def calibrate(self, model: QuantModel) -> None:
        """Set the ranges of `model` and keep layers float as the run and the wish say.

        Raises FolderError when the run does not say which samples it was calibrated on.
        """
        samples, method = calibration_samples(self.run, self.task, self.encoder)
        store.chosen_layers(self.run.quantized).apply(model)
        self.wish.grant(model, named(model, self.wish))
        calibrate_on(model, self.encoder, samples, method, apart=self.wish.limit is not None)
        if self.wish.limit is not None:
            validation = self.task.queries(self.run.examples("validation"), self.encoder)
            seed = int(self.run.document["seed"])
            tried = held(self.encoder, validation, CHECKED, seed, torch.device("cpu"))
            found = automatic(model, self.wish, tried, score_of(self.task, self.run.labels, tried))
            self.wish.grant(model, found.reasons)
            calibrate_on(model, self.encoder, samples, method)


def calibration_samples(run: Run, task: Task, encoder: Encoder) -> tuple[list[Example], str]:
    """The training examples the run's ranges were set on, and the method. Raises FolderError without their record."""
    place = run.quantized / "calibration.json"
    if not place.is_file():
        raise FolderError(f"{place} is missing", "tune again: edgeft tune")
    record = json.loads(place.read_text(encoding="utf-8"))
    by_id = {example.id: example for example in task.queries(run.examples("train"), encoder)}
    return [by_id[name] for name in record["ids"]], record.get("method", METHOD)
