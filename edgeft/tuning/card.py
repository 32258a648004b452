"""README.md of a run: a model card (Mitchell et al., arXiv 1810.03993) with what tuned.json knows.

What only a person knows, what the model is meant for, is left open and says so. Names of folders stand without the
path to them: a card is passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeft.tuning.classes import class_errors
from edgeft.tuning.joules import energy_words

CARD = "README.md"
_OPEN = "**To be written by you.**"
_STATES = {
    "original": "as given", "float": "fine-tuned", "ptq": "calibrated for the target",
    "quantized": "quantized, as the run ends",
}  # fmt: skip


def card(document: Mapping[str, Any]) -> str:
    """The card of a run by its tuned.json."""
    return "\n\n".join(part.rstrip() for part in _parts(document)) + "\n"


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    model, data = document["model"], document["data"]
    name, task = Path(model["given"]).name, document["task"]
    yield f"---\nlibrary_name: edgeft\npipeline_tag: {task}\nmetrics:\n- {document['metric']}\n---"
    yield f"# {name}, tuned for {task}"
    yield f"Made by edgeft {document['edgeft']} on {document['created_utc'][:10]}. {_made(document)}"
    yield f"## Intended use\n\n{_OPEN} What is the model meant for, by whom, and what must it not be used for?"
    yield f"## Data\n\n{_data(data, document)}"
    yield f"## Training\n\n{_training(document)}"
    yield f"## Results\n\n{_results(document)}"
    yield f"## Limits\n\n{_limits(document)}"
    licence = model.get("licence") or "not stated in its folder; look it up before you pass this model on"
    yield f"## Licence\n\n- pretrained model {name}: {licence}\n- data and this model: {_OPEN}"


def _made(document: Mapping[str, Any]) -> str:
    frozen, scheme = document["freeze"], document["scheme"]
    grids = "It was not quantized." if scheme == "none" else f"It is quantized for {scheme} ({document['profile']})."
    labels = document["labels"]
    some = ", ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
    return f"`--freeze {frozen}`. {grids} It answers with one of {len(labels)} labels: {some}."


def _data(data: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    counts = {split: sum(found.values()) for split, found in data["counts"].items()}
    rows = "\n".join(f"| {split} | {n:,} |" for split, n in counts.items())
    notices = "\n".join(f"- {notice}" for notice in data["notices"])
    source = Path(data["source"]).name
    return (
        f"{source}, splits {data['split_rule']}; SHA-256 of ids, labels and contents {data['fingerprint'][:16]}….\n\n"
        f"| split | examples |\n|---|---|\n{rows}\n\n{notices}"
    )


def _training(document: Mapping[str, Any]) -> str:
    varied = ", ".join(_policy(one) for one in document["augmentation"]) or "not at all"
    stages = "; ".join(f"{s['freeze']} for {s['epochs']:g} epochs at {s['lr']:.2g}" for s in document["stages"])
    seconds = sum(document["wall_s"].values())
    lines = [
        f"stages (frozen part, epochs, peak learning rate): {stages}",
        f"training examples varied: {varied}",
        f"seed {document['seed']}, {document['device']}, {seconds:,.0f} s",
        f"energy: {energy_words(document['energy'])}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _policy(one: Mapping[str, Any]) -> str:
    strength = [f"{key} {value:g}" for key, value in one.items() if key != "name"]
    return " ".join([one["name"], *strength])


def _results(document: Mapping[str, Any]) -> str:
    rows = [
        f"| {_STATES[name]} | {found['validation']['value']:.4f} | {found['test']['value']:.4f} |"
        for name, found in document["scores"].items()
    ]
    table = "\n".join([f"| {document['metric']} | validation | test |", "|---|---|---|", *rows])
    name, classes = list(document["classes"].items())[-1]
    errors = "\n".join(class_errors(f"{_STATES[name]}, on test", classes["test"]))
    apart = _slices(document["scores"][name]["test"])
    return "\n\n".join([table, *_repeats(document.get("repeats")), f"```\n{errors}\n```", *apart])


def _repeats(found: Mapping[str, Any] | None) -> Iterator[str]:
    for name, one in (found or {}).get("test", {}).items():
        low, high = one["ci95"]
        mean = f"mean test score {one['mean']:.4f}, 95 % interval {low:.4f} to {high:.4f}"
        yield f"Over {len(one['values'])} seeds, {_STATES[name]}: {mean}."


def _slices(scores: Mapping[str, Any]) -> Iterator[str]:
    if found := scores.get("slices"):
        rows = [
            f"| {name} | {one['n']:,} | {one['right']:.4f} | {one['ci95'][0]:.4f} to {one['ci95'][1]:.4f} |"
            for name, one in found.items()
        ]
        yield "\n".join(["| slice of test | examples | right | 95 % interval |", "|---|---|---|---|", *rows])


def _limits(document: Mapping[str, Any]) -> str:
    n = sum(document["data"]["counts"]["test"].values())
    lines = [
        f"The scores are of {n:,} held-out examples of one source; other cameras, authors or sites were not tried.",
        "It always answers with one of its labels, also to what is none of them.",
        *_of_quantized(document),
        *(f"The course of training: {line}" for line in document["advice"]),
        f"{_OPEN} Who or what is missing from the data?",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _of_quantized(document: Mapping[str, Any]) -> Iterator[str]:
    if document["scheme"] != "none":
        yield "Scores of the quantized model are computed on a workstation; `edgeft eval` measures it on the device."
