"""Load a pretrained model with the head the data needs, in full precision, and refuse one that is not pretrained."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn

from edgeft.errors import EdgeftError, ModelError
from edgeft.tuning.architecture import head_names, output_layers, under
from edgeft.tuning.preprocessing_words import add_blank, bare_byte_level
from edgeft.tuning.source import Source


@dataclass(frozen=True)
class Loaded:
    """A model ready to be tuned.

    model             transformers model; its outputs follow the data's label order; fp32, on the CPU
    processor         image processor, tokenizer or feature extractor
    answers_task      the checkpoint's own classes are the data's labels, so the model as given can be scored
    fresh             names of modules whose weights are new (head, and a pooler the checkpoint lacks)
    notes             lines a person should read
    """

    model: nn.Module
    processor: Any
    answers_task: bool
    fresh: tuple[str, ...]
    notes: tuple[str, ...]


def load(source: Source, auto_model: str, content: str, labels: Sequence[str], trust_remote_code: bool) -> Loaded:
    """Load `source` with the transformers class named `auto_model` for `labels`.

    Raises ModelError: unreadable, unknown, needs code of strangers, or its encoder is not in the checkpoint.
    """
    config = _config(source, trust_remote_code)
    own = _own_labels(config)
    answers = own is not None and sorted(own) == sorted(labels)
    generic = own is None and getattr(config, "num_labels", 0) == len(labels)
    model, fresh = _weights(source, auto_model, len(labels), trust_remote_code)
    notes = [*_precision_note(config)]
    if answers:
        _reorder_head(model, own or [], labels)
    elif not generic and not fresh:
        fresh = _renew_head(model)
    if fresh:
        notes.append(_head_note(config, labels))
    _name_labels(model, labels)
    processor = _processor(source, content, trust_remote_code)
    return Loaded(model, processor, answers and not fresh, fresh, tuple(notes))


def _config(source: Source, trust_remote_code: bool) -> Any:
    with _one_line(source):
        return transformers.AutoConfig.from_pretrained(source.place, trust_remote_code=trust_remote_code)


def _own_labels(config: Any) -> list[str] | None:
    """The checkpoint's class names; None when they are only LABEL_0, LABEL_1, …"""
    names = [str(config.id2label[key]) for key in sorted(config.id2label)] if config.id2label else []
    return None if all(re.fullmatch(r"LABEL_\d+", name) for name in names) else names


def _weights(
    source: Source, auto_model: str, n_labels: int, trust_remote_code: bool
) -> tuple[nn.Module, tuple[str, ...]]:
    with _one_line(source):
        model, report = getattr(transformers, auto_model).from_pretrained(
            source.place,
            num_labels=n_labels,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
        )
    missing = {*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])}
    heads = head_names(model)
    poolers = tuple(name for name, _ in model.named_modules() if name.rpartition(".")[2] == "pooler")
    body = sorted(name for name in missing if not under(name, (*heads, *poolers)))
    if body:
        raise ModelError(
            f"{source.given} does not hold the weights of its encoder: {len(body)} tensors such as {body[0]} "
            "would start from random values",
            "check that the checkpoint is of this architecture and that its names carry the right prefix",
        )
    fresh = tuple(part for part in (*heads, *poolers) if any(under(name, (part,)) for name in missing))
    return model, fresh


def _precision_note(config: Any) -> list[str]:
    kept = getattr(config, "dtype", None)
    if kept in (None, torch.float32, "float32"):
        return []
    return [f"the checkpoint is in {str(kept).removeprefix('torch.')}; its weights are tuned in float32"]


def _head_note(config: Any, labels: Sequence[str]) -> str:
    before = getattr(config, "num_labels", 0)
    return f"the classification head is made anew: {len(labels)} classes of the data instead of the model's {before}"


def _renew_head(model: nn.Module) -> tuple[str, ...]:
    heads = head_names(model)
    for name in heads:
        for layer in model.get_submodule(name).modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return heads


def _reorder_head(model: nn.Module, own: Sequence[str], labels: Sequence[str]) -> None:
    """Permute the head's rows from the checkpoint's class order to the data's."""
    order = torch.tensor([own.index(label) for label in labels])
    if order.tolist() == list(range(len(labels))):
        return
    for layer in output_layers(model, len(labels)):
        for parameter in layer.parameters(recurse=False):
            parameter.data = parameter.data[order].clone()


def _name_labels(model: Any, labels: Sequence[str]) -> None:
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: index for index, label in enumerate(labels)}
    if hasattr(model.config, "label_names"):
        model.config.label_names = list(labels)


_PROCESSORS: Mapping[str, tuple[str, str]] = {
    "image": ("AutoImageProcessor", "image processor"),
    "audio": ("AutoFeatureExtractor", "feature extractor"),
}


def _processor(source: Source, content: str, trust_remote_code: bool) -> Any:
    kind, what = _PROCESSORS.get(content, ("AutoTokenizer", "tokenizer"))
    with _one_line(source, what):
        found = getattr(transformers, kind).from_pretrained(source.place, trust_remote_code=trust_remote_code)
        if content == "words" and getattr(found, "backend_tokenizer", None) is not None and bare_byte_level(found):
            found = getattr(transformers, kind).from_pretrained(
                source.place, trust_remote_code=trust_remote_code, add_prefix_space=True
            )
            add_blank(found)
        return found


def quiet_transformers() -> None:
    """Its bars and notes would stand between our own lines, and fill log files with carriage returns."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # a line for each retry


@contextlib.contextmanager
def _one_line(source: Source, what: str = "the model") -> Iterator[None]:
    """Whatever transformers raises becomes one ModelError about `source`; its load tables stay off the screen."""
    quiet_transformers()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except (EdgeftError, MemoryError):
        raise
    except Exception as error:  # safetensors, tokenizers and code of a checkpoint raise errors of their own
        raise ModelError(*_explained(source, what, error)) from error


def _explained(source: Source, what: str, error: Exception) -> tuple[str, str]:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text or "custom code" in text:
        return (
            f"{source.given} needs Python code that comes with it, which edgeft never runs",
            "load it in a function of your own, which you can read first, and give --model FILE.py:FUNCTION",
        )
    if "Unrecognized configuration class" in text:
        kind = re.search(r"(\w+)Config'>", text)
        return (
            f"{source.given} is a model of the kind {kind.group(1) if kind else 'unknown'}, which transformers cannot "
            "use for these examples",
            "check that --model and --data belong together: images, texts, tagged words or sounds",
        )
    if source.kind in ("hub", "timm"):
        next_step = "check the id, the network and HF_TOKEN, or give a folder"
        if any(word in text for word in ("couldn't connect", "offline", "Connection", "resolve")):
            return f"{source.given} is no folder here, and the Hub cannot be reached", next_step
        return f"{source.given} is neither a folder here nor a model of the Hub ({text[:160]})", next_step
    if what != "the model" and "Can't load" in text:
        return (
            f"{source.given} holds no {what}, so nothing says how its examples are prepared",
            f"save it there: {what.replace(' ', '_')}.save_pretrained(folder)",
        )
    return f"{what} in {source.given} cannot be read: {text[:200]}", "give a folder written by save_pretrained"
