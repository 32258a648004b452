"""Sound files to waveforms: formats, channels, sample rates, and one clear line for what is none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the package soundfile is not installed")
pytest.importorskip("soxr", reason="the package soxr is not installed")

import soxr

from edgeft.data import audiofile
from edgeft.errors import DataError, MachineError
from tests.data.recordings import save, wave


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [(".wav", "PCM_16", 2**-15), (".wav", "PCM_24", 2**-23), (".wav", "PCM_U8", 2**-7), (".wav", "FLOAT", 1e-7),
     (".flac", "PCM_16", 2**-15), (".flac", "PCM_24", 2**-23)],
)  # fmt: skip
def test_lossless_formats_give_what_was_written(tmp_path: Path, suffix: str, subtype: str, step: float) -> None:
    samples = wave(0.1)
    found = audiofile.load(save(tmp_path / f"a{suffix}", samples, subtype=subtype), 16_000)
    assert found.dtype == np.float32 and found.shape == samples.shape
    assert np.abs(found - samples).max() <= step


def test_vorbis_is_near_what_was_written(tmp_path: Path) -> None:
    samples = wave(1.0, hertz=300)
    found = audiofile.load(save(tmp_path / "a.ogg", samples, format="OGG", subtype="VORBIS"), 16_000)
    assert found.shape == samples.shape and np.abs(found - samples)[1000:-1000].max() < 0.05


def test_channels_become_their_mean(tmp_path: Path) -> None:
    left, right = np.full(100, 0.5), np.full(100, -0.25)
    found = audiofile.load(save(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT"), 16_000)
    np.testing.assert_array_equal(found, np.full(100, 0.125, np.float32))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_another_sample_rate_keeps_the_tone(tmp_path: Path, rate_hz: int) -> None:
    """A band-limited sinc leaves a tone far below both Nyquist frequencies as it is, but for the ends."""
    found = audiofile.load(save(tmp_path / "a.wav", wave(1.0, rate_hz), rate_hz, subtype="FLOAT"), 16_000)
    assert len(found) == 16_000
    assert np.abs(found - wave(1.0))[500:-500].max() < 1e-3


def test_resampling_is_soxr_hq(tmp_path: Path) -> None:
    samples = wave(0.3, 8_000).astype(np.float32)
    path = save(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    np.testing.assert_array_equal(audiofile.load(path, 16_000), soxr.resample(samples, 8_000, 16_000, quality="HQ"))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 192_000])
def test_reading_only_the_beginning_changes_no_sample_of_it(tmp_path: Path, rate_hz: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, rate_hz)
    path = save(tmp_path / "a.wav", noise, rate_hz)
    np.testing.assert_allclose(audiofile.load(path, 16_000, 4_000), audiofile.load(path, 16_000)[:4_000], atol=1e-6)


def test_one_sample_at_a_high_rate_is_still_a_sound(tmp_path: Path) -> None:
    assert len(audiofile.load(save(tmp_path / "a.wav", np.array([0.5]), 48_000), 8_000)) == 1


def test_what_a_file_is_like(tmp_path: Path) -> None:
    heard = audiofile.inspect(save(tmp_path / "a.flac", np.full((441, 2), -0.5), 44_100, subtype="PCM_24"), "a.flac")
    assert heard == audiofile.Heard(44_100, 2, "PCM_24", 441, 0.5)
    assert heard.seconds == 0.01


def _cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.write_bytes(b""), "it is an empty file"),
        (lambda p: p.write_bytes(b"<!doctype html><p>404"), "it is an HTML page"),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
        (lambda p: p.write_bytes(b"some notes of mine"), "it is no sound"),
        (lambda p: p.write_bytes(b"RIFF\x24\x00\x00\x00WAVE" + b"\x07" * 32), "it is cut off or damaged"),
        (lambda p: save(p, np.zeros(0)), "it is a sound without a single sample"),
        (lambda p: save(p, np.zeros((0, 2))), "it is a sound without a single sample"),
        (lambda p: save(p, np.array([0.0, np.nan]), subtype="FLOAT"), "samples that are no numbers"),
        (lambda p: _cut(save(p), 0.5), r"it is cut off \(its header says 16044 bytes, and 8022 are there\)"),
    ],
)  # fmt: skip
def test_what_is_no_sound_is_said_in_one_line(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "a.wav"
    make(path)  # type: ignore[operator]
    for read in (lambda: audiofile.load(path, 16_000), lambda: audiofile.inspect(path, str(path))):
        with pytest.raises(DataError, match=says) as caught:
            read()
        assert caught.value.what.startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flac_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    with pytest.raises(DataError, match="a.flac cannot be read"):
        audiofile.inspect(_cut(save(tmp_path / "a.flac", noise), share), "a.flac")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.wav cannot be opened: No such file"):
        audiofile.load(tmp_path / "gone.wav", 16_000)


@pytest.mark.parametrize("module", ["soundfile", "soxr"])
def test_a_missing_package_says_what_to_type(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MachineError, match=rf"module {module}, which is missing; pip install 'edgeft\[audio\]'"):
        getattr(audiofile, module)()
