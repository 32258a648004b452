"""Small data and small random models, made in code, that a test tunes in seconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from edgeft.data.dataset import Dataset, Example

COLOURS = {"blue": (30, 40, 220), "red": (220, 40, 30)}
WORDS = {
    "food": "apple bread cheese soup rice pasta".split(),
    "travel": "plane train hotel ticket beach road".split(),
}
FILLER = "please i want the a some now today".split()


def image_dataset(folder: Path, per_class: dict[str, int] | None = None, seed: int = 0) -> Dataset:
    """Two classes of coloured noise, 40 x 40 JPEG, that any network can tell apart."""
    rng = np.random.default_rng(seed)
    splits: dict[str, tuple[Example, ...]] = {}
    for split, count in (per_class or {"train": 12, "validation": 6, "test": 6}).items():
        examples = []
        for label, (name, colour) in enumerate(COLOURS.items()):
            for number in range(count):
                file = folder / split / name / f"{number}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                noise = rng.normal(0, 30, (40, 40, 3)) + np.array(colour)
                Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file)
                examples.append(Example(f"{split}/{name}/{number}.jpg", file, label))
        splits[split] = tuple(examples)
    return Dataset("image", tuple(COLOURS), splits, str(folder), _fingerprint(splits), "given splits")


def text_dataset(folder: Path, per_class: dict[str, int] | None = None, seed: int = 0) -> Dataset:
    """Two classes that differ by their words; texts of 3 to 9 words."""
    rng = np.random.default_rng(seed)
    splits: dict[str, tuple[Example, ...]] = {}
    for split, count in (per_class or {"train": 24, "validation": 12, "test": 12}).items():
        examples = []
        for label, words in enumerate(WORDS.values()):
            for number in range(count):
                picked = [*rng.choice(FILLER, rng.integers(1, 7)), *rng.choice(words, 2)]
                examples.append(Example(f"{split}.csv:{label * count + number}", " ".join(picked), label))
        splits[split] = tuple(examples)
    folder.mkdir(parents=True, exist_ok=True)
    return Dataset("text", tuple(WORDS), splits, str(folder), _fingerprint(splits), "given splits")


def _fingerprint(splits: dict[str, tuple[Example, ...]]) -> str:
    ids = "\n".join(f"{split} {example.id}" for split, examples in splits.items() for example in examples)
    return hashlib.sha256(ids.encode()).hexdigest()


def save_timm(folder: Path, architecture: str = "resnet18", labels: int = 3, **arguments: object) -> Path:
    """A random timm model as a transformers checkpoint for 32 x 32 images, with its own labels a, b, c, …"""
    transformers.set_seed(0)
    config = transformers.TimmWrapperConfig(
        architecture=architecture,
        num_labels=labels,
        model_args=arguments or None,
        pretrained_cfg={"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
                        "crop_pct": 1.0, "crop_mode": "center"},
    )  # fmt: skip
    config.id2label = {index: "abcdefgh"[index] for index in range(labels)}
    config.label_names = list("abcdefgh"[:labels])
    model = transformers.TimmWrapperForImageClassification(config)
    model.save_pretrained(folder)
    return folder


def save_vit(folder: Path, labels: int = 2) -> Path:
    transformers.set_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=labels,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)
    return folder


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *(word for group in WORDS.values() for word in group)]
    inner = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=32, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def bert_config(**changes: object) -> transformers.BertConfig:
    size: dict[str, object] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    # a wide spread of random weights, so that a body this small has something to say
    size |= {"initializer_range": 0.2, "vocab_size": 24, "max_position_embeddings": 32}
    return transformers.BertConfig(**{**size, **changes})


def save_bert(folder: Path, model_class: str = "BertModel", **changes: object) -> Path:
    """A random BERT of two layers; by default a body without a head, as encoders are published."""
    transformers.set_seed(0)
    getattr(transformers, model_class)(bert_config(**changes)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def parameters(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}
