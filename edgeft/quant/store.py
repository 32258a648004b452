"""A quantized model's numbers on disk: safetensors, and a record of what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from edgeft.errors import FolderError
from edgeft.files import read_json, write_bytes, write_json
from edgeft.quant.engine import QuantModel
from edgeft.quant.keep import keep_float
from edgeft.quant.layers import module_of
from edgeft.quant.raising import raise_activations

SCHEMA = "edgeft-quantized/1"


def save_state(model: QuantModel, folder: Path, name: str) -> None:
    """Write `name`.safetensors (weights, scales, zero points) and quantization.json into `folder`."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in model.graph.state_dict().items()}
    write_bytes(folder / f"{name}.safetensors", save(state))
    assert model.scheme is not None
    write_json(
        folder / "quantization.json",
        {
            "schema": SCHEMA,
            "scheme": model.scheme.name,
            "torch": torch.__version__,
            "quantizers": sorted(name for name, _ in model.quantizers()),
            "float_nodes": [{"node": node, "reason": reason} for node, reason in model.float_nodes],
            "completed": model.completed,
            "kept": _chosen(model, model.kept),
            "raised": _chosen(model, model.raised),
        },
    )


def _chosen(model: QuantModel, reasons: Mapping[str, str]) -> list[dict[str, str]]:
    nodes = {node.name: node for node in model.graph.graph.nodes}
    return [{"layer": name, "module": module_of(nodes[name]), "reason": why} for name, why in reasons.items()]


@dataclass(frozen=True)
class Chosen:
    """Layers of a saved model that are not on 8-bit grids by choice, each as {layer, module, reason}."""

    kept: list[dict[str, str]]
    raised: list[dict[str, str]]

    def apply(self, model: QuantModel) -> None:
        """Make the same choice in a freshly built model."""
        for choose, layers in ((keep_float, self.kept), (raise_activations, self.raised)):
            if layers:
                choose(model, {each["layer"]: each["reason"] for each in layers})


def chosen_layers(folder: Path) -> Chosen:
    """The choice of the model saved in `folder`."""
    record = read_json(folder / "quantization.json", SCHEMA, "tune again: edgeft tune")
    return Chosen(list(record.get("kept", [])), list(record.get("raised", [])))


def load_state(model: QuantModel, folder: Path, name: str) -> None:
    """Load what `save_state` wrote into a freshly built model, and leave it in train mode. Layers that were kept float
    are so again.

    Raises FolderError when the file is missing or belongs to another graph.
    """
    path = folder / f"{name}.safetensors"
    record = read_json(folder / "quantization.json", SCHEMA, "tune again: edgeft tune")
    if not path.is_file():
        raise FolderError(f"{path} is missing", f"tune again: edgeft tune --scheme {record['scheme']}")
    if model.scheme is None or record["scheme"] != model.scheme.name:
        raise FolderError(f"{path} is for scheme {record['scheme']}, not {model.scheme and model.scheme.name}")
    try:
        chosen_layers(folder).apply(model)
        model.graph.load_state_dict(load_file(path))
    except (KeyError, RuntimeError) as error:
        first = str(error).splitlines()[-1].strip()
        raise FolderError(
            f"{path} does not fit the graph captured now (written with torch {record['torch']}, "
            f"this is {torch.__version__}): {first}",
            "export with the torch version the run was made with, or tune again",
        ) from error
    model.set_mode("train")
