"""The description of a transformers feature extractor of sounds, proven on waveforms before it is used.

Each class has a rule in RULES. Whatever its settings say, the description is compared with the extractor itself on
sounds made here, a short one, a long one and a quiet one: a description that differs is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.audiofile import RESAMPLER
from edgeft.errors import ModelError, UsageError
from edgeft.tasks.audio_encoder import AudioEncoder

Description = dict[str, Any]
FREE = "free"
# Sounds of free length are cut here: attention over more needs more memory than small boards have.
_MOST_FREE_S = 30.0
# The longest fixed length that is chosen from the examples.
_MOST_FIXED_S = 10.0
# Values of a spectrogram have a deviation near 1, those of a scaled waveform too.
_MAY_DIFFER = 1e-4
_EPSILON = 1e-7  # of the variance, in transformers' zero_mean_unit_var_norm


def audio_preprocessing(
    extractor: Any, model: Any, seconds: float | str | None, longest_s: float | None
) -> Description:
    """The description of `extractor` for `model`.

    seconds    --audio-seconds: a number, "free", or None
    longest_s  length of the longest training example, for None: models that read waveforms then take sounds of that
               length, at most 10 s; None when nobody knows it, which means free

    Raises ModelError for an extractor edgeft does not know or that does not fit the model, UsageError for a length the
    model cannot take.
    """
    name = type(extractor).__name__
    if name not in RULES:
        raise ModelError(
            f"{name} prepares sounds in a way edgeft does not know", f"choose a model with one of {', '.join(RULES)}"
        )
    if getattr(extractor, "dither", 0.0):
        raise _unsupported(extractor, "dither", extractor.dither)
    described = RULES[name](extractor, model, seconds, longest_s)
    prove(extractor, described)
    return described


def _described(extractor: Any, name: str, **rest: Any) -> Description:
    return {
        "kind": "audio", "sampling_rate_hz": int(extractor.sampling_rate), "channels": "mean", "resampler": RESAMPLER,
        "input": name, **rest,
    }  # fmt: skip


def _waveform(extractor: Any, model: Any, seconds: float | str | None, longest_s: float | None) -> Description:
    """Samples themselves (wav2vec2, HuBERT and their like)."""
    if extractor.feature_size != 1 or extractor.padding_value != 0:
        raise _unsupported(extractor, "feature_size", extractor.feature_size)
    rate, least = int(extractor.sampling_rate), least_samples(model)
    wanted = min(longest_s, _MOST_FIXED_S) if seconds is None and longest_s is not None else seconds
    normalise = {"normalise": {"epsilon": _EPSILON}} if extractor.do_normalize else {}
    if wanted is None or isinstance(wanted, str):
        length = {"least_samples": least, "most_samples": round(_MOST_FREE_S * rate)}
        return _described(extractor, "input_values", **length, **normalise)
    samples = round(wanted * rate)
    if samples < least and seconds is not None:
        raise UsageError(
            f"--audio-seconds {wanted:g} is {samples} samples, and the model needs {least}",
            f"give at least {least / rate:.2g}",
        )
    return _described(extractor, "input_values", samples=max(samples, least), **normalise)


def least_samples(model: Any) -> int:
    """Samples from which the model's first convolutions make a frame; where training hides frames at random
    (SpecAugment), one more than it hides together."""
    config = model.config
    frames = config.mask_time_length + 1 if config.apply_spec_augment and config.mask_time_prob > 0 else 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        frames = (frames - 1) * stride + kernel
    return int(frames)


def _whisper(extractor: Any, model: Any, seconds: float | str | None, longest_s: float | None) -> Description:
    """Logarithms of 80 or 128 mel bands, eight decades of them (arXiv 2212.04356, section 2.2, and its log_mel.py)."""
    _refuse_length(extractor, seconds, extractor.n_samples / extractor.sampling_rate)
    frames, reads = int(extractor.nb_max_frames), 2 * int(model.config.max_source_positions)
    if frames != reads or extractor.feature_size != model.config.num_mel_bins:
        raise _misfit(
            extractor, f"{frames} frames of {extractor.feature_size} bands",
            f"{reads} frames of {model.config.num_mel_bins}", "chunk_length and feature_size",
        )  # fmt: skip
    spectrogram = {
        "frame_length": int(extractor.n_fft), "hop_length": int(extractor.hop_length),
        "fft_length": int(extractor.n_fft), "window": "hann", "center": True, "drop_last": True, "remove_dc": False,
        "preemphasis": 0.0, "mels": int(extractor.feature_size), "low_hz": 0.0, "high_hz": 8000.0, "scale": "slaney",
        "triangles": "hertz", "area": True, "log": "log10", "floor": 1e-10, "range": 8.0, "mean": -4.0, "std": 4.0,
        "layout": "mel-time",
    }  # fmt: skip
    return _described(extractor, "input_features", samples=int(extractor.n_samples), spectrogram=spectrogram)


def _ast(extractor: Any, model: Any, seconds: float | str | None, longest_s: float | None) -> Description:
    """Kaldi's filter banks of 25 ms every 10 ms (arXiv 2104.01778, section 2.1), filled up to a number of frames."""
    rate, frames = int(extractor.sampling_rate), int(extractor.max_length)
    frame, hop = 400, 160  # as the extractor has them, whatever the sample rate
    _refuse_length(extractor, seconds, frames * hop / rate)
    if (frames, extractor.num_mel_bins) != (model.config.max_length, model.config.num_mel_bins):
        raise _misfit(
            extractor, f"{frames} frames of {extractor.num_mel_bins} bands",
            f"{model.config.max_length} of {model.config.num_mel_bins}", "max_length and num_mel_bins",
        )  # fmt: skip
    normal = bool(extractor.do_normalize)
    spectrogram = {
        "frame_length": frame, "hop_length": hop, "fft_length": 512, "window": "hann-symmetric", "center": False,
        "drop_last": False, "remove_dc": True, "preemphasis": 0.97, "mels": int(extractor.num_mel_bins),
        "low_hz": 20.0, "high_hz": float(rate // 2), "scale": "kaldi", "triangles": "mel", "area": False, "log": "ln",
        "floor": float(np.finfo(np.float32).eps), "frames": frames, "mean": float(extractor.mean) if normal else 0.0,
        "std": 2 * float(extractor.std) if normal else 1.0, "layout": "time-mel",
    }  # fmt: skip
    return _described(extractor, "input_values", spectrogram=spectrogram)


RULES: Mapping[str, Callable[[Any, Any, float | str | None, float | None], Description]] = {
    "Wav2Vec2FeatureExtractor": _waveform,
    "WhisperFeatureExtractor": _whisper,
    "ASTFeatureExtractor": _ast,
}


def _refuse_length(extractor: Any, seconds: float | str | None, own_s: float) -> None:
    if seconds is not None and seconds != own_s:
        raise UsageError(
            f"--audio-seconds {seconds} is for models that read waveforms, and this one reads spectrograms of "
            f"{own_s:g} s",
            f"leave it out; {type(extractor).__name__} has it in preprocessor_config.json",
        )


def prove(extractor: Any, description: Mapping[str, Any]) -> None:
    """Compare the description with the extractor on three sounds. Raises ModelError when values differ by more than
    1e-4, or the extractor does not take a sound."""
    encoder = AudioEncoder(description)
    for waveform in _samples(encoder.rate_hz):
        ours = next(iter(encoder.encode([waveform]).values()))[0]
        theirs = _theirs(extractor, waveform, description)
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=0, atol=_MAY_DIFFER):
            raise ModelError(
                f"{type(extractor).__name__} prepares sounds in a way edgeft does not know: its result differs from "
                "the description made of its settings",
                "choose a model with the usual settings of its feature extractor",
            )


def _theirs(extractor: Any, waveform: NDArray[np.float32], how: Mapping[str, Any]) -> NDArray[np.float32]:
    """The extractor's own values. A waveform of fixed length is cut before it is scaled, and followed by zeros after:
    transformers' padding would take the silence into the mean."""
    raw = "spectrogram" not in how
    limit = how.get("samples") or how.get("most_samples")
    given = waveform[:limit] if raw else waveform
    name = how["input"]
    try:
        found = np.asarray(extractor(given, sampling_rate=how["sampling_rate_hz"], return_tensors="np")[name][0])
    except Exception as error:  # any extractor of the Hub may stand here
        raise ModelError(f"{type(extractor).__name__} could not be tried on a sound: {error}") from error
    missing = max(how.get("samples") or 0, how.get("least_samples") or 0) - len(found)
    return np.pad(found, (0, max(0, missing))) if raw else found


def _samples(rate_hz: int) -> list[NDArray[np.float32]]:
    """A chirp with noise of 0.7 s, one of 11 s, and the first as quiet as one step of 16 bits allows."""
    return [_chirp(rate_hz, 0.7, 0.5), _chirp(rate_hz, 11.0, 0.3), _chirp(rate_hz, 0.7, 2**-13)]


def _chirp(rate_hz: int, seconds: float, loudness: float) -> NDArray[np.float32]:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = np.random.default_rng(0).normal(0, 0.05, len(t))
    wave = np.sin(2 * np.pi * (100 * t + rate_hz / 8 * t**2 / seconds)) * np.exp(-3 * t / seconds)
    return (loudness * (wave + noise)).astype(np.float32)


def _misfit(extractor: Any, makes: str, takes: str, settings: str) -> ModelError:
    return ModelError(
        f"{type(extractor).__name__} makes spectrograms of {makes}, and the model takes {takes}",
        f"correct {settings} in preprocessor_config.json",
    )


def _unsupported(extractor: Any, setting: str, value: Any) -> ModelError:
    return ModelError(
        f"{type(extractor).__name__} has {setting} = {value}, which edgeft does not support",
        "change that setting in preprocessor_config.json, or choose another model",
    )
