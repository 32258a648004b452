"""tune, export and eval on sounds, with random models of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers

pytest.importorskip("soundfile", reason="the package soundfile is not installed")
pytest.importorskip("soxr", reason="the package soxr is not installed")

import edgeft
from edgeft.errors import UsageError
from edgeft.tasks import TASKS
from tests.data.recordings import class_folders
from tests.evaluation.shortened import shorten

COUNTS = {"train": 12, "validation": 6, "test": 8}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tones")
    return class_folders(root, {f"{split}/{label}": n for split, n in COUNTS.items() for label in ("high", "low")})


def save_whisper(folder: Path) -> Path:
    """32 bands of 1 s; a frame every 20 ms. With Whisper's own init_std, 0.02, positions would drown the sound."""
    transformers.set_seed(0)
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=64, num_mel_bins=32,
        max_source_positions=25, classifier_proj_size=32, init_std=0.15,
    )  # fmt: skip
    transformers.WhisperForAudioClassification(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=32, chunk_length=1, hop_length=320).save_pretrained(folder)
    return folder


def save_wav2vec2(folder: Path) -> Path:
    """Two convolutions instead of seven: a frame every 80 samples."""
    transformers.set_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, conv_dim=(16, 16),
        conv_kernel=(20, 8), conv_stride=(10, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        classifier_proj_size=32, mask_time_prob=0.0,
    )  # fmt: skip
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def save_ast(folder: Path) -> Path:
    transformers.set_seed(0)
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_length=32,
        num_mel_bins=32,
    )  # fmt: skip
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=32, num_mel_bins=32).save_pretrained(folder)
    return folder


def test_all_three_steps_tell_high_from_low(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for the reports: every variant has a figure, and comparisons an interval."""
    run = edgeft.tune(
        model=str(save_whisper(tmp_path / "model")), data=str(tones), output=tmp_path / "run", freeze="none", lr=2e-3,
        epochs=12, qat_epochs=1, batch_size=8, augment="shift,mask:0.1", calibration_samples=16, device="cpu",
    )  # fmt: skip
    assert run.task == "audio-classification" and run.preprocessing["spectrogram"]["mels"] == 32
    assert run.document["data"]["checks"]["heard"]["resampled"] == 52
    assert [one["name"] for one in run.document["augmentation"]] == ["shift", "mask"]
    assert run.scores_of("float")["test"]["value"] >= 0.9
    bundle = edgeft.export(run, output=tmp_path / "bundle")
    assert {"original", "float32", "int8-ptq", "int8"} == set(bundle.variants)
    assert (bundle.path / "eval/00000.wav").is_file() and (bundle.path / "eval/reference.wav").is_file()
    coverage = bundle.variants["int8"]["integer_coverage"]
    assert coverage["integer"] == coverage["all"] > 0
    shorten(monkeypatch.setitem, monkeypatch.setattr)
    found = edgeft.evaluate(bundle, preset="quick", meter="none", output=tmp_path / "result").document
    for name in ("float32", "int8-ptq", "int8"):
        assert found["variants"][name]["accuracy"]["value"] >= 0.9
        assert found["variants"][name]["accuracy"]["n"] == 16
        low, high = found["comparisons"][name]["accuracy"]["ci95"]
        assert low <= found["comparisons"][name]["accuracy"]["diff"] <= high
    assert found["data"].get("sequence_length") is None


@pytest.mark.parametrize(
    ("save", "options", "shape"),
    [
        (save_wav2vec2, {}, ["batch", 6_720]),  # the longest example has 0.42 s
        (save_wav2vec2, {"audio_seconds": "free"}, ["batch", "time"]),
        (save_ast, {}, ["batch", 32, 32]),
    ],
)
def test_models_of_every_kind_and_length_pass_the_checks(
    tones: Path, tmp_path: Path, save: object, options: dict[str, object], shape: list[object]
) -> None:
    run = edgeft.tune(
        model=str(save(tmp_path / "model")), data=str(tones), output=tmp_path / "run", freeze="none", epochs=1,  # type: ignore[operator]
        qat_epochs=0.5, batch_size=8, calibration_samples=8, device="cpu", **options,
    )  # fmt: skip
    bundle = edgeft.export(run, output=tmp_path / "bundle", variants=("int8",))
    assert bundle.document["inputs"][0]["shape"] == shape
    assert bundle.document["passed"] and all(entry["passed"] for entry in bundle.variants.values())
    assert bundle.variants["int8"]["integer_coverage"]["integer"] > 0
    encoder = TASKS.load(run.task).encoder(run.preprocessing, run.path)
    sizes = {encoder([example.content])["input_values"].shape[1] for example in run.examples("test")}
    assert len(sizes) == (8 if shape[1] == "time" else 1)
    assert np.isfinite(run.scores_of("quantized")["test"]["value"])


def test_options_of_other_examples_are_refused(tones: Path, tmp_path: Path) -> None:
    for options, says in (
        ({"image_size": 64}, "--image-size is for images, and the examples are sounds"),
        ({"max_length": 64}, "--max-length is for texts, and the examples are sounds"),
        ({"augment": "crop"}, "--augment crop is for images, and the examples are sounds"),
    ):
        with pytest.raises(UsageError, match=says):
            edgeft.tune(model="anything", data=str(tones), output=tmp_path / "run", **options)  # type: ignore[arg-type]
