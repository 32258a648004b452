"""Vary training sounds after they were encoded: move them in time, and hide parts of them.

`--augment shift,mask`. Encoded sounds are float32 [samples], [mels, frames] or [frames, mels]; the description that
they were encoded with says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Shift:
    """Move a sound by up to `share` of its length to either side; what leaves at one end comes in at the other, which
    is silence where the sound is shorter than its window. `axis` is that of time."""

    share: float
    axis: int

    def __call__(self, sound: Sound, rng: np.random.Generator) -> Sound:
        most = int(self.share * sound.shape[self.axis])
        return np.roll(sound, int(rng.integers(-most, most + 1)), axis=self.axis)


@dataclass(frozen=True)
class Mask:
    """Hide a stretch of up to `share` of every axis behind the mean of the sound (SpecAugment, arXiv 1904.08779): of
    time and of frequency in a spectrogram, of time in a waveform."""

    share: float

    def __call__(self, sound: Sound, rng: np.random.Generator) -> Sound:
        masked, mean = sound.copy(), sound.mean()
        for axis, size in enumerate(sound.shape):
            width = int(rng.integers(0, int(self.share * size) + 1))
            start = int(rng.integers(0, size - width + 1))
            part: list[slice] = [slice(None)] * sound.ndim
            part[axis] = slice(start, start + width)
            masked[tuple(part)] = mean
        return masked


def time_axis(preprocessing: Mapping[str, Any]) -> int:
    """The axis of time in one sound that was encoded by this description."""
    spectrogram = preprocessing.get("spectrogram")
    return 1 if spectrogram and spectrogram["layout"] == "mel-time" else 0


SOUNDS: Mapping[str, Callable[[float, Mapping[str, Any]], Callable[[Sound, np.random.Generator], Sound]]] = {
    "shift": lambda share, how: Shift(share, time_axis(how)),
    "mask": lambda share, how: Mask(share),
}
