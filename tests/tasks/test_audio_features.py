"""Spectrograms: values worked out by hand, and those of transformers' feature extractors."""

from __future__ import annotations

import numpy as np
import pytest

from edgeft.errors import FolderError
from edgeft.tasks.audio_features import SCALES, LogMel, mel_filters

PLAIN = {
    "frame_length": 8, "hop_length": 4, "fft_length": 8, "window": "hann", "center": False, "drop_last": False,
    "remove_dc": False, "preemphasis": 0.0, "mels": 2, "low_hz": 0.0, "high_hz": 4.0, "scale": "htk",
    "triangles": "hertz", "area": False, "log": "log10", "floor": 1e-10, "mean": 0.0, "std": 1.0,
    "layout": "time-mel",
}  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "hertz", "mel"),
    [
        ("slaney", 1000.0, 15.0),  # linear up to here: 3 * 1000 / 200
        ("slaney", 200.0, 3.0),
        ("slaney", 6400.0, 42.0),  # 15 + 27 ln(6.4) / ln(6.4)
        ("htk", 1000.0, 999.9855),  # 2595 log10(1 + 1000 / 700)
        ("kaldi", 1000.0, 1127 * np.log(17 / 7)),
    ],
)
def test_mel_scales(scale: str, hertz: float, mel: float) -> None:
    to_mel, to_hertz = SCALES[scale]
    assert float(to_mel(np.array([hertz]))[0]) == pytest.approx(mel, abs=1e-4)
    assert float(to_hertz(np.array([mel]))[0]) == pytest.approx(hertz, rel=1e-6)


def test_filters_are_triangles_between_their_neighbours_centres() -> None:
    """Where the scale is straight (slaney, below 1 kHz), three filters up to 400 Hz have their tops 100 Hz apart."""
    filters = mel_filters(3, 16, 800, 0.0, 400.0, SCALES["slaney"], False, False)  # bins every 50 Hz
    np.testing.assert_allclose(
        filters,
        [[0, 0.5, 1, 0.5, 0, 0, 0, 0, 0], [0, 0, 0, 0.5, 1, 0.5, 0, 0, 0], [0, 0, 0, 0, 0, 0.5, 1, 0.5, 0]],
        atol=1e-12,
    )
    by_area = mel_filters(3, 16, 800, 0.0, 400.0, SCALES["slaney"], False, True)
    np.testing.assert_allclose(by_area, filters * 2 / 200, atol=1e-12)


def test_power_of_a_cosine_is_where_it_belongs() -> None:
    """Of a cosine on bin 2 of 8 under a periodic Hann window the spectrum is 8 / 4 there and half of it beside it."""
    wave = np.cos(2 * np.pi * 2 * np.arange(8) / 8)
    power = LogMel(PLAIN, 8)._power(wave[None].copy())
    np.testing.assert_allclose(power, [[0, 1, 4, 1, 0]], atol=1e-12)


def test_dc_and_preemphasis_of_a_constant() -> None:
    """A constant has nothing left without its mean; with preemphasis p it is 1 - p times itself from the first on."""
    constant = np.ones((1, 8))
    assert LogMel({**PLAIN, "remove_dc": True}, 8)._power(constant.copy()).max() < 1e-24
    plain, less = (LogMel({**PLAIN, "preemphasis": p}, 8)._power(constant.copy()) for p in (0.0, 0.75))
    np.testing.assert_allclose(less, plain / 16, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "samples", "frames"),
    [
        ({}, 16, 3),  # beginning at 0, 4 and 8
        ({}, 19, 3),
        ({}, 3, 1),  # lengthened to one frame
        ({"center": True}, 16, 5),  # centred on 0, 4, 8, 12 and 16
        ({"center": True, "drop_last": True}, 16, 4),
        ({"frames": 6}, 16, 6),
        ({"frames": 2}, 16, 2),
    ],
)
def test_number_of_frames(change: dict[str, object], samples: int, frames: int) -> None:
    found = LogMel({**PLAIN, **change}, 8)(np.random.default_rng(0).normal(size=samples))
    assert found.shape == (frames, 2) and found.dtype == np.float32


def test_missing_frames_are_zeros_before_scaling_and_range_ends_below_the_largest() -> None:
    how = {**PLAIN, "frames": 5, "mean": -3.0, "std": 2.0, "range": 1.0}
    found = LogMel(how, 8)(np.r_[np.zeros(8), np.ones(8)])
    np.testing.assert_array_equal(found[3:], np.full((2, 2), 1.5, np.float32))
    assert found[:3].max() - found[:3].min() == pytest.approx(0.5)  # a decade of range, over a deviation of 2


def test_layout_turns_the_array() -> None:
    wave = np.random.default_rng(0).normal(size=16)
    turned = LogMel({**PLAIN, "layout": "mel-time"}, 8)(wave)
    np.testing.assert_array_equal(turned, LogMel(PLAIN, 8)(wave).T)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": "povey"}, "window 'povey'"),
        ({"scale": "bark"}, "scale 'bark'"),
        ({"log": "db"}, "log 'db'"),
        ({"fft_length": 4}, "frames of 8 samples and an FFT of 4"),
    ],
)
def test_what_is_unknown_is_named(change: dict[str, object], says: str) -> None:
    with pytest.raises(FolderError, match=says):
        LogMel({**PLAIN, **change}, 8)
