"""Files to what a model reads: lengths, scaling, and the same arrays on a board as at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the package soundfile is not installed")
pytest.importorskip("soxr", reason="the package soxr is not installed")

from edgeft.errors import DataError, FolderError
from edgeft.tasks import TASKS
from edgeft.tasks.audio_encoder import AudioEncoder
from edgeft.tasks.reference import SOUND, check_reference, write_reference
from tests.data.recordings import save, wave

RAW: dict[str, Any] = {
    "kind": "audio", "sampling_rate_hz": 8_000, "channels": "mean", "resampler": "soxr-HQ", "input": "input_values",
}  # fmt: skip
BANDS: dict[str, Any] = {
    "frame_length": 400, "hop_length": 160, "fft_length": 512, "window": "hann-symmetric", "center": False,
    "drop_last": False, "remove_dc": True, "preemphasis": 0.97, "mels": 24, "low_hz": 20.0, "high_hz": 4000.0,
    "scale": "kaldi", "triangles": "mel", "area": False, "log": "ln", "floor": 1e-7, "mean": -4.0, "std": 9.0,
    "layout": "time-mel",
}  # fmt: skip


def sound(folder: Path, seconds: float, name: str = "a.wav", rate_hz: int = 8_000) -> Path:
    return save(folder / name, wave(seconds, rate_hz), rate_hz, subtype="FLOAT")


def test_fixed_length_cuts_and_is_followed_by_silence(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "samples": 1000})
    found = encoder([sound(tmp_path, 0.1), sound(tmp_path, 0.2, "b.wav")])["input_values"]
    assert found.shape == (2, 1000) and found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :800], wave(0.1, 8_000).astype(np.float32))
    assert not found[0, 800:].any() and found[1, 800:].any()
    assert encoder.truncated == 1 and encoder.limit_s == 0.125
    assert [encoder.is_cut(tmp_path / name) for name in ("a.wav", "b.wav")] == [False, True]
    assert encoder.inputs[0].shape == ("batch", 1000)


def test_free_length_is_that_of_the_longest_within_its_limits(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "least_samples": 400, "most_samples": 1200})
    assert encoder.inputs[0].shape == ("batch", "time")
    lengths = [encoder([sound(tmp_path, seconds)])["input_values"].shape[1] for seconds in (0.01, 0.1, 0.5)]
    assert lengths == [400, 800, 1200]
    both = encoder([sound(tmp_path, 0.1), sound(tmp_path, 0.125, "b.wav")])["input_values"]
    assert both.shape == (2, 1000) and not both[0, 800:].any()


def test_scaling_looks_at_the_sound_and_not_at_the_silence_behind_it(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "samples": 2000, "normalise": {"epsilon": 0.0}})
    path = save(tmp_path / "a.wav", np.r_[np.full(400, 0.75), np.full(400, 0.25)], 8_000)
    found = encoder([path])["input_values"][0]
    np.testing.assert_allclose(found, np.r_[np.ones(400), -np.ones(400), np.zeros(1200)], atol=1e-6)


def test_silence_has_no_variance_and_stays_silence(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "normalise": {"epsilon": 1e-7}})
    assert not encoder([save(tmp_path / "a.wav", np.zeros(100), 8_000)])["input_values"].any()


def test_another_sample_rate_is_brought_to_the_models(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "samples": 800})
    own, other = (encoder([sound(tmp_path, 0.1, f"{rate}.wav", rate)])["input_values"] for rate in (8_000, 44_100))
    assert np.abs(own - other)[:, 100:-100].max() < 2e-3


def test_spectrogram_with_a_number_of_frames(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "spectrogram": {**BANDS, "frames": 20}})
    assert encoder.inputs[0].shape == ("batch", 20, 24)
    assert encoder.limit_s == (19 * 160 + 400) / 8_000
    found = encoder([sound(tmp_path, 0.1), sound(tmp_path, 2.0, "b.wav")])["input_values"]
    assert found.shape == (2, 20, 24)
    np.testing.assert_allclose(found[0, 3:], (0 + 4) / 9, atol=1e-6)  # 800 samples hold three frames
    assert encoder.truncated == 1


def test_spectrogram_of_a_fixed_and_of_a_free_length(tmp_path: Path) -> None:
    fixed = AudioEncoder({**RAW, "samples": 4000, "spectrogram": BANDS})
    assert fixed.inputs[0].shape == ("batch", 23, 24)
    assert fixed([sound(tmp_path, 0.1)])["input_values"].shape == (1, 23, 24)
    free = AudioEncoder({**RAW, "spectrogram": {**BANDS, "layout": "mel-time"}})
    assert free.inputs[0].shape == ("batch", 24, "time")
    assert free([sound(tmp_path, 0.1), sound(tmp_path, 0.5, "b.wav")])["input_values"].shape == (2, 24, 23)


def test_a_batch_is_its_sounds_one_by_one(tmp_path: Path) -> None:
    encoder = AudioEncoder({**RAW, "samples": 4000, "spectrogram": BANDS})
    paths = [sound(tmp_path, seconds, f"{seconds}.wav") for seconds in (0.1, 0.3, 0.7)]
    alone = [encoder([path])["input_values"][0] for path in paths]
    np.testing.assert_array_equal(encoder(paths)["input_values"], np.stack(alone))


def test_a_file_that_is_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"notes")
    with pytest.raises(DataError, match="a.wav cannot be read: it is no sound"):
        AudioEncoder(RAW)([tmp_path / "a.wav"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"resampler": "polyphase"}, "resampler 'polyphase'"),
        ({"channels": "left"}, "channels 'left'"),
        ({"sampling_rate_hz": 0}, "sampling_rate_hz is 0 and should be a whole number above 0"),
        ({"kind": "image"}, "this task takes audio"),
        ({"spectrogram": {**BANDS, "mels": "many"}}, 'spectrogram.mels is "many"'),
    ],
)
def test_a_description_that_is_not_right(change: dict[str, Any], says: str) -> None:
    with pytest.raises(FolderError, match=says):
        AudioEncoder({**RAW, **change})


@pytest.mark.parametrize("how", [{"samples": 12_000}, {"samples": 12_000, "spectrogram": BANDS}])
def test_the_reference_sound_tells_another_preparation(tmp_path: Path, how: dict[str, Any]) -> None:
    right = {**RAW, "normalise": {"epsilon": 1e-7}, **how}
    assert SOUND in write_reference(tmp_path, AudioEncoder(right), "audio")
    check_reference(tmp_path, AudioEncoder(right), "audio")
    wrong = [{**right, "sampling_rate_hz": 8_100}, {**right, "normalise": None}]
    if "spectrogram" in how:
        wrong = [{**right, "spectrogram": {**BANDS, **change}} for change in ({"scale": "slaney"}, {"std": 4.5})]
    for other in wrong:
        with pytest.raises(FolderError, match="versions of soundfile and soxr"):
            check_reference(tmp_path, AudioEncoder(other), "audio")


def test_the_task_takes_sounds() -> None:
    task = TASKS.load("audio-classification")
    assert (task.name, task.content, task.target, task.metric) == (
        "audio-classification", "audio", "label", "accuracy",
    )  # fmt: skip
    assert isinstance(task.encoder(RAW, Path()), AudioEncoder)
