"""Small finished run folders, made without tuning: random weights, calibrated on a few examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, ResNetConfig, ResNetForImageClassification

from edgeft import files
from edgeft.data.dataset import Dataset, Example
from edgeft.data.splits_record import write_splits
from edgeft.quant import engine, store
from edgeft.quant.calibration import calibrate_on
from edgeft.quant.choice import Wish, named
from edgeft.scheme import SCHEMES
from edgeft.tasks import TASKS

LABELS = ("cat", "dog", "owl")
WORDS = [f"w{i}" for i in range(90)]
_IMAGE = {
    "kind": "image", "channels": "RGB", "orientation": "exif", "background": [255, 255, 255],
    "resize": {"rule": "exact", "height": 32, "width": 32}, "resample": "bilinear", "height": 32, "width": 32,
    "rescale": 1 / 255, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input": "pixel_values",
}  # fmt: skip
_TEXT = {
    "kind": "text", "tokenizer": "tokenizer.json", "max_length": 32,
    "inputs": ["input_ids", "attention_mask", "token_type_ids"], "pad_id": 0, "pad_type_id": 0, "vocabulary": 100,
}  # fmt: skip


def text_model() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100,
        max_position_embeddings=64, num_labels=len(LABELS), id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    return with_biases(BertForSequenceClassification(config)).eval()


def image_model() -> nn.Module:
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    return with_biases(ResNetForImageClassification(config)).eval()


def with_biases(model: nn.Module, spread: float = 0.1) -> nn.Module:
    """Biases and BatchNorm statistics as a trained model has them: a fresh one has zeros, which are optimized away."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, spread, generator=generator)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


def _texts(n: int, rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(WORDS, size=int(rng.integers(3, 20)))) for _ in range(n)]


def _images(n: int, folder: Path, rng: np.random.Generator) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(n):
        path = folder / f"{index:04d}.png"
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def _tokenizer(path: Path) -> None:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **{word: i + 4 for i, word in enumerate(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


def make_run(
    folder: Path,
    kind: str = "text",
    scheme: str = "u8s8",
    profile: str = "x86-64-vnni",
    n_test: int = 40,
    trained: bool = True,
    answers: bool = False,
    model: nn.Module | None = None,
    kept: Sequence[str] = (),
    own_labels: bool = False,
) -> Path:
    """A finished run in `folder`/run over data in `folder`/data; kind is "text" or "image".

    kept        patterns of the layers that the quantized models compute in float
    own_labels  every example is labelled with what the model answers, so that it is right about all of them
    """
    rng = np.random.default_rng(0)
    run, data = folder / "run", folder / "data"
    run.mkdir(parents=True)
    contents: list[Any] = _texts(60 + n_test, rng) if kind == "text" else _images(60 + n_test, data / "all", rng)
    examples = [Example(f"{i:04d}", content, i % len(LABELS)) for i, content in enumerate(contents)]
    model = model or (text_model() if kind == "text" else image_model())
    preprocessing = _TEXT if kind == "text" else _IMAGE
    task = TASKS.load(f"{kind}-classification")
    if kind == "text":
        _tokenizer(run / "tokenizer.json")
    if own_labels:
        examples = _labelled(model, task.encoder(preprocessing, run), examples)
    splits = {"train": tuple(examples[:40]), "validation": tuple(examples[40:60]), "test": tuple(examples[60:])}
    dataset = Dataset(kind, LABELS, splits, str(data), "f" * 64, "made by a test")
    write_splits(run / "splits.jsonl", dataset)
    model.save_pretrained(run / "float")
    if answers:
        model.save_pretrained(run / "original")
    if scheme != "none":
        _quantize(run, model, task.encoder(preprocessing, run), splits["train"], scheme, trained, kept)
    files.write_json(run / "tuned.json", _document(run, task, preprocessing, data, scheme, profile, answers))
    return run


def _labelled(model: nn.Module, encoder: Any, examples: list[Example]) -> list[Example]:
    batch = encoder([example.content for example in examples])
    with torch.no_grad():
        answers = model(**{name: torch.from_numpy(content) for name, content in batch.items()}).logits.argmax(1)
    return [Example(e.id, e.content, int(answer)) for e, answer in zip(examples, answers, strict=True)]


def _quantize(
    run: Path, model: nn.Module, encoder: Any, examples: Any, scheme: str, trained: bool, kept: Sequence[str]
) -> None:
    pair = {name: torch.from_numpy(content) for name, content in encoder([e.content for e in examples[:2]]).items()}
    built = engine.build(model, encoder.inputs, pair, SCHEMES.load(scheme))
    wish = Wish(tuple(kept))
    wish.grant(built, named(built, wish))
    calibrate_on(built, encoder, examples, "minmax")
    store.save_state(built, run / "quantized", "calibrated")
    if trained:
        store.save_state(built, run / "quantized", "trained")
    ids = [example.id for example in examples]
    record = {"method": "minmax", "n": len(ids), "ids": ids, "sha256": files.sha256_text("\n".join(ids))}
    (run / "quantized" / "calibration.json").write_text(json.dumps(record))


def _document(
    run: Path, task: Any, preprocessing: dict[str, Any], data: Path, scheme: str, profile: str, answers: bool
) -> dict[str, Any]:
    score = {split: {"metric": "accuracy", "value": 0.5, "n": 20} for split in ("validation", "test")}
    return {
        "schema": "edgeft-run/1", "edgeft": "0", "created_utc": "2026-01-01T00:00:00+00:00", "settings": {},
        "versions": {}, "seed": 0, "device": "cpu", "task": task.name, "metric": task.metric, "labels": list(LABELS),
        "preprocessing": preprocessing,
        "data": {
            "source": str(data), "folder": str(data), "fingerprint": "f" * 64, "split_rule": "made by a test",
            "splits_sha256": files.sha256_file(run / "splits.jsonl"), "counts": {}, "notices": [],
        },
        "model": {"given": "toy", "kind": "folder", "original_answers_task": answers, "sha256": "0" * 64},
        "frozen": [], "freeze": "none", "scheme": scheme, "profile": profile, "scores": {"float": score},
        "kept": "trained", "best_epoch": 1.0, "wall_s": {}, "state": "complete",
    }  # fmt: skip
