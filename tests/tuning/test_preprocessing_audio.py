"""Descriptions of transformers' feature extractors: equal values, on sounds made here and on recordings."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transformers

pytest.importorskip("soundfile", reason="the package soundfile is not installed")
pytest.importorskip("soxr", reason="the package soxr is not installed")

import soundfile
import soxr

from edgeft.errors import ModelError, UsageError
from edgeft.tasks.audio_encoder import AudioEncoder
from edgeft.tuning.preprocessing_audio import audio_preprocessing, least_samples
from tests.data.recordings import save, wave

DIGITS = Path(os.environ.get("EDGEFT_SPOKEN_DIGITS", "spoken-digits"))
MAY_DIFFER = 1e-4


def model(**config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**config))


def wav2vec2(**config: Any) -> Any:
    """The convolutions of every published wav2vec2 and HuBERT."""
    usual = {"mask_time_length": 10, "mask_time_prob": 0.05, "apply_spec_augment": True}
    sizes = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
    return model(**{**usual, **sizes, **config})


WHISPER = model(max_source_positions=50, num_mel_bins=80)
AST = model(max_length=128, num_mel_bins=128)
EXTRACTORS = {
    "wav2vec2": (transformers.Wav2Vec2FeatureExtractor(), wav2vec2(), "free"),
    "wav2vec2, 1 s": (transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True), wav2vec2(), 1.0),
    "HuBERT, as it is": (transformers.Wav2Vec2FeatureExtractor(do_normalize=False), wav2vec2(), 0.5),
    "Whisper, 1 s": (transformers.WhisperFeatureExtractor(chunk_length=1), WHISPER, None),
    "Whisper, 30 s": (
        transformers.WhisperFeatureExtractor(), model(max_source_positions=1500, num_mel_bins=80), None,
    ),
    "AST": (transformers.ASTFeatureExtractor(max_length=128), AST, None),
    "AST, 1024 frames, not scaled": (
        transformers.ASTFeatureExtractor(do_normalize=False), model(max_length=1024, num_mel_bins=128), None,
    ),
}  # fmt: skip


def theirs(extractor: Any, waveform: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """What transformers makes of a sound, of waveforms padded with an attention mask as its documentation asks."""
    given: dict[str, Any] = {"sampling_rate": 16_000, "return_tensors": "np"}
    if "spectrogram" not in how and "samples" in how:
        given |= {"padding": "max_length", "max_length": how["samples"], "truncation": True}
        given["return_attention_mask"] = True
    return np.asarray(extractor(waveform, **given)[how["input"]][0])


@pytest.mark.parametrize("name", EXTRACTORS)
def test_equal_to_transformers_on_sounds_of_every_length(tmp_path: Path, name: str) -> None:
    extractor, net, seconds = EXTRACTORS[name]
    how = audio_preprocessing(extractor, net, seconds, None)
    encoder = AudioEncoder(how)
    for number, length_s in enumerate((0.3, 0.9, 1.7)):
        rng = np.random.default_rng(number)
        samples = wave(length_s, hertz=700) * rng.uniform(0.05, 1) + rng.normal(0, 0.02, round(length_s * 16_000))
        path = save(tmp_path / f"{number}.wav", samples)
        ours = encoder([path])[how["input"]][0]
        expected = theirs(extractor, soundfile.read(path, dtype="float32")[0], how)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=MAY_DIFFER)


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the recordings are not on this machine")
@pytest.mark.parametrize("name", EXTRACTORS)
def test_equal_to_transformers_on_recordings(name: str) -> None:
    """8 kHz recordings, brought to 16 kHz here by soxr itself."""
    extractor, net, seconds = EXTRACTORS[name]
    how = audio_preprocessing(extractor, net, seconds, None)
    encoder = AudioEncoder(how)
    for path in sorted(DIGITS.glob("test/*/*.wav"))[::61]:
        samples, rate = soundfile.read(path, dtype="float32")
        expected = theirs(extractor, soxr.resample(samples, rate, 16_000, quality="HQ"), how)
        np.testing.assert_allclose(encoder([path])[how["input"]][0], expected, rtol=0, atol=MAY_DIFFER)


def test_convolutions_need_as_many_samples_as_they_need() -> None:
    """400 samples make the first frame of wav2vec2, each further one 320 (arXiv 2006.11477, section 4.2)."""
    assert least_samples(wav2vec2(apply_spec_augment=False)) == 400
    assert least_samples(wav2vec2(mask_time_prob=0.0)) == 400
    assert least_samples(wav2vec2()) == 400 + 10 * 320


def test_length_is_the_one_given_or_that_of_the_longest_example() -> None:
    extractor, net = transformers.Wav2Vec2FeatureExtractor(), wav2vec2()
    assert audio_preprocessing(extractor, net, 0.5, 2.0)["samples"] == 8_000
    assert audio_preprocessing(extractor, net, None, 2.0)["samples"] == 32_000
    assert audio_preprocessing(extractor, net, None, 60.0)["samples"] == 160_000
    assert audio_preprocessing(extractor, net, None, 0.01)["samples"] == least_samples(net)
    free = audio_preprocessing(extractor, net, "free", 2.0)
    assert "samples" not in free and (free["least_samples"], free["most_samples"]) == (3_600, 480_000)


def test_everything_is_in_the_description_and_no_filter() -> None:
    how = audio_preprocessing(transformers.WhisperFeatureExtractor(chunk_length=1), WHISPER, None, None)
    assert how["samples"] == 16_000 and how["sampling_rate_hz"] == 16_000 and how["resampler"] == "soxr-HQ"
    assert how["spectrogram"] == {
        "frame_length": 400, "hop_length": 160, "fft_length": 400, "window": "hann", "center": True, "drop_last": True,
        "remove_dc": False, "preemphasis": 0.0, "mels": 80, "low_hz": 0.0, "high_hz": 8000.0, "scale": "slaney",
        "triangles": "hertz", "area": True, "log": "log10", "floor": 1e-10, "range": 8.0, "mean": -4.0, "std": 4.0,
        "layout": "mel-time",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("extractor", "net", "seconds", "error", "says"),
    [
        (transformers.Wav2Vec2FeatureExtractor(), wav2vec2(), 0.1, UsageError, "1600 samples, and the model needs"),
        (transformers.WhisperFeatureExtractor(), WHISPER, None, ModelError, "makes spectrograms of 3000 frames"),
        (transformers.ASTFeatureExtractor(), AST, None, ModelError, "of 1024 frames of 128 bands"),
        (transformers.WhisperFeatureExtractor(chunk_length=1), WHISPER, 2.0, UsageError, "reads spectrograms of 1 s"),
        (transformers.WhisperFeatureExtractor(chunk_length=1, dither=0.1), WHISPER, None, ModelError, "dither = 0.1"),
        (transformers.SeamlessM4TFeatureExtractor(), wav2vec2(), None, ModelError, "a way edgeft does not know"),
    ],
)
def test_what_does_not_fit_is_refused(extractor: Any, net: Any, seconds: Any, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        audio_preprocessing(extractor, net, seconds, None)


def test_an_extractor_that_does_otherwise_than_its_class_is_refused() -> None:
    class Louder(transformers.ASTFeatureExtractor):
        def normalize(self, input_values: np.ndarray) -> np.ndarray:
            return super().normalize(input_values) * 1.01

    Louder.__name__ = "ASTFeatureExtractor"
    with pytest.raises(ModelError, match="its result differs from the description"):
        audio_preprocessing(Louder(max_length=128), AST, None, None)
