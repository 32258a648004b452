"""Answers of every variant of a bundle in the onnxruntime of this interpreter: python answers.py BUNDLE OUT.npz

Runs where only what a board needs is installed, and with edgeft's own device code.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgeft.bundle import Bundle
from edgeft.evaluation.samples import Samples
from edgeft.evaluation.session import Settings, feed_for, open_model, run_logits
from edgeft.tasks import TASKS
from edgeft.tasks.eval_examples import read_examples


def answers(path: Path) -> dict[str, np.ndarray]:
    """Variant -> logits [examples, labels]."""
    bundle = Bundle.open(path)
    task = TASKS.load(bundle.task)
    samples = Samples(read_examples(bundle.path, bundle.labels), task.encoder(bundle.preprocessing, bundle.path))
    output = bundle.document["outputs"][0]["name"]
    found = {}
    for name in bundle.variants:
        model = open_model(bundle.file_of(name), Settings(), output)
        rows = [run_logits(model, feed_for(model, arrays, name), 1, name)[0] for _, arrays in samples.stream()]
        found[name] = np.stack(rows)
    return found


if __name__ == "__main__":
    np.savez(sys.argv[2], **answers(Path(sys.argv[1])))
