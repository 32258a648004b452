"""The torch models of a run, loaded when asked for; a model with fresh weights is refused."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from edgeft.errors import FolderError, ModelError
from edgeft.quant import engine, store
from edgeft.quant.engine import QuantModel
from edgeft.runfolder import Run
from edgeft.scheme import Scheme
from edgeft.tasks.task import TensorSpec

_AGAIN = "tune again: edgeft tune"


class Sources:
    """What the variants of one run are made from.

    inputs    what the device feeds
    example   two rows of every input
    """

    def __init__(
        self, run: Run, auto_model: str, inputs: Sequence[TensorSpec], example: dict[str, Tensor]
    ) -> None:
        self._run, self._auto_model = run, auto_model
        self.inputs, self.example = tuple(inputs), example

    def original(self) -> nn.Module:
        """The model as given when it answers the task with the run's labels, else the fine-tuned float model."""
        answers = self._run.original_answers_task
        self._run.vouch_for(self._run.float_model)
        return load(self._run.original if answers else self._run.float_model, self._auto_model, self._run.labels)

    def tuned(self) -> nn.Module:
        """The fine-tuned float model, before any compression."""
        self._run.vouch_for(self._run.float_model)
        return load(self._run.float_model, self._auto_model, self._run.labels)

    def float_graph(self) -> QuantModel:
        """The same, captured, with BatchNorm folded and attention as plain products."""
        return engine.float_graph(self.tuned(), self.inputs, self.example)

    def quantized(self, name: str, scheme: Scheme) -> QuantModel:
        """The quantized graph with the numbers saved as `name` ("calibrated" or "trained"), in train mode."""
        built = self.unranged(scheme)
        self._run.vouch_for(self._run.quantized)
        store.load_state(built, self._run.quantized, name)
        return built

    def unranged(self, scheme: Scheme) -> QuantModel:
        """The quantized graph of the float model, before calibration."""
        return engine.build(self.tuned(), self.inputs, self.example, scheme)


def load(folder: Path, auto_model: str, labels: Sequence[str]) -> nn.Module:
    """A transformers model in eval mode whose columns are `labels`.

    Raises FolderError when the folder is not there, ModelError when a weight is not in it, or its labels differ.
    """
    if not (folder / "config.json").is_file():
        raise FolderError(f"{folder} holds no model", _AGAIN)
    model, report = _from_pretrained(folder, auto_model)
    fresh = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if fresh:
        raise ModelError(
            f"{folder} lacks {len(fresh)} weights such as {fresh[0]}: they would be random", f"{_AGAIN}, then export"
        )
    names = [str(model.config.id2label[index]) for index in range(len(model.config.id2label))]
    if names != list(labels):
        raise ModelError(f"the classes of {folder} are not the labels of the run", _AGAIN)
    return model.eval()


def _from_pretrained(folder: Path, auto_model: str) -> tuple[Any, dict[str, Any]]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            found: tuple[Any, dict[str, Any]] = getattr(transformers, auto_model).from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise ModelError(f"{folder} cannot be read: {' '.join(str(error).split())[:200]}", _AGAIN) from error
    return found
