"""Sound files to what a model reads, by the description that travels with the model.

    {"kind": "audio", "sampling_rate_hz": n, "channels": "mean", "resampler": "soxr-HQ",
     "samples": n   (absent: as many as the sound has), "least_samples": n, "most_samples": n   (1 and all when absent),
     "normalise": {"epsilon": e}   (absent: not), "spectrogram": {...}   (absent: none; see audio_features),
     "input": name}

A sound is decoded, brought to one channel and to the sample rate (edgeft.data.audiofile), and cut after `samples`,
after `most_samples`, or where the frames of its spectrogram end. `normalise`: (x - mean) / sqrt(variance + epsilon)
over the sound. Then zeros follow it up to `samples`, or up to `least_samples` or the longest of those encoded together.
There is no attention mask: what follows a sound is silence, which the model hears, in training as on a device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft.data import audiofile
from edgeft.form import NUMBER, SIZE, TEXT, Record
from edgeft.tasks.audio_features import FORM as _SPECTROGRAM
from edgeft.tasks.audio_features import LogMel
from edgeft.tasks.describe import check, choose
from edgeft.tasks.task import TensorSpec

_FORM = Record(
    {"sampling_rate_hz": SIZE, "channels": TEXT, "resampler": TEXT, "input": TEXT},
    {
        "samples": SIZE, "least_samples": SIZE, "most_samples": SIZE, "normalise": Record({"epsilon": NUMBER}),
        "spectrogram": _SPECTROGRAM,
    },
)  # fmt: skip
# By how much values of the reference sound may differ between machines: builds of soxr and of the FFT round otherwise,
# and the logarithm of a nearly empty band makes that larger. Another resampler or mel scale moves values by tenths.
_STEP_WAVEFORM, _STEP_SPECTROGRAM = 1e-3, 1e-2
FREE = "time"


class AudioEncoder:
    """Paths of sound files -> {input name: float32 [n, samples], [n, mels, frames] or [n, frames, mels]}.

    `truncated` counts the sounds cut so far. `step` is the unit in which a reference sound may differ.
    """

    def __init__(self, preprocessing: Mapping[str, Any]) -> None:
        how = check(preprocessing, "audio", _FORM)
        choose(how["channels"], {"mean": True}, "channels")
        choose(how["resampler"], {audiofile.RESAMPLER: True}, "resampler")
        audiofile.soundfile()
        audiofile.soxr()
        self.rate_hz = int(how["sampling_rate_hz"])
        self._samples: int | None = how.get("samples")
        self._least = int(how.get("least_samples") or 1)
        self._epsilon = (how.get("normalise") or {}).get("epsilon")
        spectrogram = how.get("spectrogram")
        self._features = LogMel(spectrogram, self.rate_hz) if spectrogram else None
        ends = self._features.reads if self._features else None
        self._most: int | None = self._samples or how.get("most_samples") or ends
        self._input = str(how["input"])
        self.step = np.float32(_STEP_SPECTROGRAM if self._features else _STEP_WAVEFORM)
        self.inputs: tuple[TensorSpec, ...] = (self._spec(),)
        self.truncated = 0

    @property
    def limit_s(self) -> float | None:
        """What is read of a sound, in seconds; None for all of it."""
        return None if self._most is None else self._most / self.rate_hz

    def __call__(self, contents: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
        """Raises DataError when a file is missing, cannot be decoded whole, or holds no sample."""
        return self.encode([self.waveform(Path(path)) for path in contents])

    def waveform(self, path: Path) -> NDArray[np.float32]:
        """The sound at the model's sample rate, float32 [samples], cut where the model stops."""
        found = audiofile.load(path, self.rate_hz, None if self._most is None else self._most + 1)
        if self._most is None or len(found) <= self._most:
            return found
        self.truncated += 1
        return found[: self._most]

    def is_cut(self, path: Path) -> bool:
        """Is the sound, as its header says it, longer than what is read of it?"""
        return self._most is not None and math.floor(audiofile.seconds_of(path) * self.rate_hz) > self._most

    def encode(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Waveforms of the model's sample rate, each float32 [samples] -> the arrays of a batch."""
        whole = [self._scaled(waveform[: self._most]) for waveform in waveforms]
        longest = self._samples or max([self._least, *map(len, whole)])
        padded = np.zeros((len(whole), longest), np.float32)
        for row, waveform in enumerate(whole):
            padded[row, : len(waveform)] = waveform
        if self._features is None:
            return {self._input: padded}
        # A spectrogram that fills up frames itself has nothing to hear of the zeros behind a sound.
        heard = whole if self._samples is None and self._features.frames else list(padded)
        return {self._input: np.stack([self._features(waveform) for waveform in heard])}

    def _scaled(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._epsilon is None:
            return waveform
        wide = waveform.astype(np.float64)  # a mean over many float32 depends on the order in which they are added
        scaled: NDArray[np.float32] = ((wide - wide.mean()) / np.sqrt(wide.var() + self._epsilon)).astype(np.float32)
        return scaled

    def _spec(self) -> TensorSpec:
        if self._features is None:
            unit = "amplitude" if self._epsilon is None else "deviations of the sound"
            return TensorSpec(self._input, "float32", ("batch", self._samples or FREE), unit)
        frames = self._features.frames or (FREE if self._samples is None else self._counted(self._samples))
        sides = (self._features.mels, frames) if self._features.time_last else (frames, self._features.mels)
        return TensorSpec(self._input, "float32", ("batch", *sides), "scaled log power")

    def _counted(self, samples: int) -> int:
        assert self._features is not None
        shape = self._features(np.zeros(samples, np.float32)).shape
        return int(shape[1] if self._features.time_last else shape[0])
