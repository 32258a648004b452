"""One sound file to a waveform, the same way in tune, calibration and eval; and what a file that is none really is.

Rules, for every format libsndfile reads (WAV, FLAC, OGG Vorbis and Opus, MP3, AIFF and more):
- whole numbers of any width become float32 in -1..1, as libsndfile scales them (24 bits: divided by 2^23);
- several channels become one, their mean;
- another sample rate is brought to the one asked for by soxr's recipe "HQ" (the SoX resampler, band-limited sinc);
- a file without a sample, with samples that are no numbers, or one that ends before its header says so is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data.imagefile import what_is
from edgeft.errors import DataError, MachineError
from edgeft.packages import how_to_install

# Suffixes of files that are meant to be sounds; others are looked into (see `looks_like_sound`).
SUFFIXES = frozenset(".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .w64 .caf".split())
RESAMPLER = "soxr-HQ"
# Samples read beyond those wanted, so that the resampler's filter has its neighbours: its longest arm at 192 kHz is
# shorter than 50 ms.
_BESIDE_S = 0.1
_BLOCK_FRAMES = 1 << 18
_NO_LENGTH = (0, 0xFFFFFFFF)  # what programs that write into a pipe put where RIFF's length belongs


@dataclass(frozen=True)
class Heard:
    """What a sound file is like: samples a second, channels, how samples are stored ("PCM_16", "VORBIS", …), frames
    (samples of one channel), and the largest magnitude, 0..1 for whole numbers."""

    rate_hz: int
    channels: int
    stored: str
    frames: int
    peak: float

    @property
    def seconds(self) -> float:
        return self.frames / self.rate_hz


def soundfile() -> Any:
    """The package soundfile, or a MachineError that says how to get it."""
    try:
        import soundfile as package
    except ImportError as error:
        raise MachineError(
            "reading sounds needs the module soundfile, which is missing", how_to_install("soundfile")
        ) from error
    except OSError as error:  # the package is there and its library is not
        raise MachineError(
            f"soundfile does not find the library libsndfile ({error})", "apt install libsndfile1, or its like"
        ) from error
    return package


def soxr() -> Any:
    """The package soxr, or a MachineError that says how to get it."""
    try:
        import soxr as package
    except ImportError as error:
        raise MachineError(
            "bringing sounds to another sample rate needs the module soxr, which is missing", how_to_install("soxr")
        ) from error
    return package


def looks_like_sound(head: bytes) -> bool:
    """Whether the first bytes of a file (16 are enough) are those of a common sound format."""
    riff = head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"
    aiff = head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")
    return riff or aiff or head.startswith((b"fLaC", b"OggS", b"ID3"))


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    """A soundfile.SoundFile. Whatever goes wrong with it becomes a DataError that names the file."""
    package = soundfile()
    try:
        with open(path, "rb") as file:
            head = file.read(512)
        _refuse_cut(path, head, name)
        with package.SoundFile(str(path)) as sound:
            yield sound
    except OSError as error:
        raise DataError(f"{name} cannot be opened: {error.strerror or error}") from error
    except (package.SoundFileError, ValueError, TypeError) as error:
        raise DataError(f"{name} cannot be read: it is {_really(head, error)}") from error


def _refuse_cut(path: Path, head: bytes, name: str) -> None:
    """libsndfile reads what is left of a WAV file that was cut off, and says nothing."""
    said = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and said not in _NO_LENGTH and said + 8 > path.stat().st_size:
        raise DataError(
            f"{name} cannot be read: it is cut off (its header says {said + 8} bytes, and {path.stat().st_size} are "
            "there)"
        )


def _really(head: bytes, error: Exception) -> str:
    if looks_like_sound(head[:16]):
        return f"cut off or damaged ({str(error).rpartition(': ')[2].strip().rstrip('.') or 'it does not decode'})"
    kind = what_is(head)
    return "no sound" if kind == "no image" else kind


def inspect(path: Path, name: str) -> Heard:
    """Decode a file whole, block by block. Raises DataError that names the file `name` and says what is wrong."""
    with _opened(path, name) as sound:
        frames, peak = 0, 0.0
        while len(block := sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
            frames += len(block)
            peak = max(peak, float(np.abs(_finite(block, name)).max()))
        found = Heard(int(sound.samplerate), int(sound.channels), str(sound.subtype), frames, peak)
        said = int(sound.frames)
    if not frames:
        raise DataError(f"{name} cannot be read: it is a sound without a single sample")
    if frames < said:
        raise DataError(f"{name} cannot be read: it is cut off ({frames} of {said} samples are there)")
    return found


def seconds_of(path: Path) -> float:
    """Length as the file's header says it, in seconds. Raises DataError as `load` does."""
    with _opened(path, str(path)) as sound:
        return float(sound.frames) / float(sound.samplerate)


def load(path: Path, rate_hz: int, most: int | None = None) -> NDArray[np.float32]:
    """The sound of `path` as one channel at `rate_hz`, float32 [samples]; no more than the first `most` samples.

    Raises DataError when the file is missing, cannot be decoded, or holds no sample or one that is no number.
    """
    name = str(path)
    with _opened(Path(path), name) as sound:
        own_hz = int(sound.samplerate)
        wanted = -1 if most is None else math.ceil((most / rate_hz + _BESIDE_S) * own_hz)
        block = _finite(sound.read(wanted, dtype="float32", always_2d=True), name)
    if not len(block):
        raise DataError(f"{name} cannot be read: it is a sound without a single sample")
    return resample(mix(block), own_hz, rate_hz)[:most]


def mix(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """[samples, channels] -> [samples], their mean."""
    found: NDArray[np.float32] = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    return found


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """float32 [samples] at `to_hz`; the very same array when the rates are equal. Never without a sample."""
    if from_hz == to_hz:
        return samples
    found: NDArray[np.float32] = soxr().resample(np.ascontiguousarray(samples), from_hz, to_hz, quality="HQ")
    return found if len(found) else np.zeros(1, np.float32)


def _finite(block: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if not np.isfinite(block).all():
        raise DataError(f"{name} cannot be read: it holds samples that are no numbers (NaN or infinite)")
    return block
