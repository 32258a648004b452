"""The story of `edgeft explain`: the same examples before the original and the quantized model of a run, part by part.

Both are asked about the class the original answers. What is written shows where they look; how sure one may be that a
change of the picture matters is for accuracy to say (edgeft eval).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgeft import console, files, options
from edgeft.data.dataset import Example
from edgeft.errors import UsageError, did_you_mean
from edgeft.evaluation.stats import rank_correlation
from edgeft.explaining.hiding import HIDING, Hiding
from edgeft.explaining.page import render
from edgeft.exporting.grids import trained_state
from edgeft.exporting.samples import encode
from edgeft.exporting.sources import Sources
from edgeft.quant.feed import answers, draw, tensors_of
from edgeft.runfolder import Run
from edgeft.scheme import SCHEMES
from edgeft.tasks import TASKS

SCHEMA = "edgeft-explained/1"
DOCUMENT, IMPORTANCE, PAGE = "explained.json", "importance.npz", "explained.html"
ORIGINAL = "original"


def explain(path: Path, samples: str, seed: int, output: Path) -> dict[str, Any]:
    """Write `output` for the run in `path` and return its document.

    samples   how many test examples, drawn with `seed`, or the ids of some with commas between them

    Raises FolderError for a folder that is no run, UsageError for a task that is not of images or texts, a run without
    a quantized model, an id that is not in the test split, or an output that is there already.
    """
    run = Run.open(path)
    task = TASKS.load(run.task)
    if task.content not in HIDING:
        raise UsageError(
            f"{run.task} cannot be explained part by part yet", f"tasks on these can: {', '.join(HIDING)}"
        )
    if run.scheme_name == "none":
        raise UsageError(f"{path} holds no quantized model to compare with", "tune with a --scheme or a --profile")
    if output.exists():
        raise UsageError(f"{output} is there already", "choose another --output, or remove it")
    chosen = choose(run.examples("test"), samples, seed)
    encoder = task.encoder(run.preprocessing, run.path)
    hiding = HIDING[task.content](encoder)
    trial = encode(encoder, chosen, seed)
    sources = Sources(run, task.auto_model, encoder.inputs, trial.example())
    scheme = SCHEMES.load(run.scheme_name)
    quantized = sources.quantized(trained_state(run), scheme)
    models = {ORIGINAL: sources.original().eval(), scheme.variant: quantized.eval()}
    told, maps = [], {}
    for example in console.track(chosen, "explaining", unit="samples"):
        entry, found = _one(example, models, hiding, encoder, run.labels)
        told.append(entry)
        maps[example.id] = found
    document = {
        "schema": SCHEMA, "task": run.task, "models": list(models), "hidden": hiding.said, "unit": "nats",
        "seed": seed, "samples": told,
    }  # fmt: skip
    shown = {example.id: hiding.shown(example.content) for example in chosen}
    with files.whole_folder(output) as folder:
        arrays: dict[str, Any] = {f"{name}/{one}": found[name] for one, found in maps.items() for name in models}
        np.savez_compressed(folder / IMPORTANCE, **arrays)
        files.write_text(folder / PAGE, render(document, maps, shown))
        files.write_json(folder / DOCUMENT, document)
    console.result(table(document))
    console.say(f"written to {output}: {PAGE}, {DOCUMENT}, {IMPORTANCE}")
    return document


def choose(examples: Sequence[Example], samples: str, seed: int) -> list[Example]:
    """The examples that `samples` asks for, in the order of the split or as named."""
    if samples.isdigit():
        try:
            n = options.whole(1)(samples)
        except ValueError as error:
            raise UsageError(f"--samples {samples}: {error}") from None
        wanted = {example.id for example in draw(examples, n, (seed, 3))}
        return [example for example in examples if example.id in wanted]
    known = {example.id: example for example in examples}
    names = options.names()(samples)
    for name in names:
        if name not in known:
            raise UsageError(f"the test split has no example {name!r}", did_you_mean(name, known))
    return [known[name] for name in names]


def _one(
    example: Example, models: Mapping[str, nn.Module], hiding: Hiding, encoder: Any, labels: Sequence[str]
) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """What is told of an example, and how important its parts are to each model."""
    tensors = tensors_of(encoder([example.content]))
    with torch.no_grad():
        logits = {name: answers(model, tensors)[0] for name, model in models.items()}
    asked = int(logits[ORIGINAL].argmax())
    found = {name: hiding.importance(model, example.content, asked) for name, model in models.items()}
    one, other = found.values()
    right = example.label
    assert isinstance(right, int)  # HIDING is of tasks with one label an example
    return {
        "id": example.id,
        "label": labels[right],
        "asked": labels[asked],
        "answers": {
            name: {"answer": labels[int(row.argmax())], "probability": float(_probabilities(row)[asked])}
            for name, row in logits.items()
        },
        "rank_correlation": rank_correlation(one, other),
        "same_first": bool(one.argmax() == other.argmax()) if one.size else True,
    }, found


def _probabilities(logits: NDArray[np.float32]) -> torch.Tensor:
    return torch.softmax(torch.from_numpy(logits), dim=-1)


def table(document: Mapping[str, Any]) -> str:
    """The samples in 80 columns, those whose picture changed most first."""
    one, other = document["models"]
    told = sorted(document["samples"], key=lambda entry: float(entry["rank_correlation"]))
    rows = [("sample", "right", one, other, "alike", "first part")]
    for entry in told:
        said = [entry["answers"][name]["answer"] for name in (one, other)]
        first = "same" if entry["same_first"] else "another"
        rows.append((entry["id"][-26:], entry["label"], *said, f"{entry['rank_correlation']:.3f}", first))
    widths = [min(max(len(row[i]) for row in rows), 26 if i == 0 else 14) for i in range(len(rows[0]))]
    lines = ["  ".join(cell[:width].ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    middle = float(np.median([entry["rank_correlation"] for entry in told]))
    same = sum(entry["same_first"] for entry in told)
    return "\n".join(
        [*lines, "", f"alike: rank correlation of the parts' importance to both models; median {middle:.3f}.",
         f"The most important part is the same in {same} of {len(told)} samples."]
    )  # fmt: skip
