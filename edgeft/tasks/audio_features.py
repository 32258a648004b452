"""Waveforms to spectrograms of mel bands, in numpy and float64: one function for training, calibration and devices.

    {"frame_length": n, "hop_length": n, "fft_length": n   (samples),
     "window": "hann" | "hann-symmetric", "center": bool, "drop_last": bool, "remove_dc": bool, "preemphasis": share,
     "mels": n, "low_hz": f, "high_hz": f, "scale": "slaney" | "kaldi" | "htk", "triangles": "hertz" | "mel",
     "area": bool, "log": "ln" | "log10", "floor": power, "range": decades or nepers below the largest   (absent: all),
     "frames": n   (absent: as many as there are), "mean": m, "std": s, "layout": "mel-time" | "time-mel"}

For each frame: subtract its mean (`remove_dc`), y[t] = x[t] - preemphasis x[t-1] with x[-1] = x[0], multiply by the
window, power |FFT|^2, bands = filters x power, log of at least `floor`, at least the largest value less `range`. Frames
that are missing up to `frames` are zeros. At last (value - mean) / std.

`center` mirrors half a frame at both ends, so that frame t is centred on sample t * hop_length (librosa, torch.stft);
`drop_last` leaves the last frame out (Whisper). Filters are triangles between neighbouring centres, which lie equally
far apart on the mel scale; `triangles` says on which axis their sides are straight, and `area` divides each by half its
width in hertz. Scales: "htk" 2595 log10(1 + f/700) (Young et al., The HTK Book); "kaldi" 1127 ln(1 + f/700)
(kaldi-asr.org, feat/mel-computations.h); "slaney" 3f/200 below 1000 Hz and 15 + 27 ln(f/1000)/ln(6.4) above (Slaney,
Auditory Toolbox, 1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeft.errors import FolderError
from edgeft.form import NUMBER, SIZE, TEXT, Kind, Record
from edgeft.tasks.describe import choose

_YES_NO = Kind("true or false", lambda value: isinstance(value, bool))
_ABOVE_0 = Kind("a number above 0", lambda value: NUMBER.holds(value) and value > 0)
FORM = Record(
    {
        "frame_length": SIZE, "hop_length": SIZE, "fft_length": SIZE, "window": TEXT, "center": _YES_NO,
        "drop_last": _YES_NO, "remove_dc": _YES_NO, "preemphasis": NUMBER, "mels": SIZE, "low_hz": NUMBER,
        "high_hz": _ABOVE_0, "scale": TEXT, "triangles": TEXT, "area": _YES_NO, "log": TEXT, "floor": _ABOVE_0,
        "mean": NUMBER, "std": _ABOVE_0, "layout": TEXT,
    },
    {"range": _ABOVE_0, "frames": SIZE},
)  # fmt: skip
_BREAK_HZ, _BREAK_MEL, _STEP = 1000.0, 15.0, 27.0 / np.log(6.4)
Array = NDArray[np.float64]


def _slaney(hz: Array) -> Array:
    above = _BREAK_MEL + _STEP * np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ)
    return np.where(hz < _BREAK_HZ, 3 * hz / 200, above)


def _from_slaney(mel: Array) -> Array:
    above = _BREAK_HZ * np.exp((np.maximum(mel, _BREAK_MEL) - _BREAK_MEL) / _STEP)
    return np.where(mel < _BREAK_MEL, 200 * mel / 3, above)


# Name -> (hertz to mel, mel to hertz).
SCALES: Mapping[str, Any] = {
    "slaney": (_slaney, _from_slaney),
    "kaldi": (lambda hz: 1127.0 * np.log1p(hz / 700.0), lambda mel: 700.0 * np.expm1(mel / 1127.0)),
    "htk": (lambda hz: 2595.0 * np.log10(1.0 + hz / 700.0), lambda mel: 700.0 * (10.0 ** (mel / 2595.0) - 1.0)),
}
_WINDOWS = {"hann": lambda n: np.hanning(n + 1)[:-1], "hann-symmetric": np.hanning}
_LOGS = {"ln": np.log, "log10": np.log10}
_TRIANGLES = {"hertz": False, "mel": True}
_LAYOUTS = {"mel-time": True, "time-mel": False}


class LogMel:
    """Waveform, float [samples] at `rate_hz` -> float32 [mels, frames] or [frames, mels], as the description says.

    frames   how many there are; None when it depends on the waveform
    reads    samples at the beginning of a waveform that these frames are made of; None for all
    filters  float64 [mels, fft_length / 2 + 1], computed here from the description

    Raises FolderError for a window, scale, logarithm, side or layout this edgeft does not know, and for frames that are
    longer than the FFT.
    """

    def __init__(self, how: Mapping[str, Any], rate_hz: int) -> None:
        self._frame, self._hop, self._fft = (int(how[key]) for key in ("frame_length", "hop_length", "fft_length"))
        if self._frame > self._fft:
            raise FolderError(f"the preprocessing has frames of {self._frame} samples and an FFT of {self._fft}")
        self._window: Array = choose(how["window"], _WINDOWS, "window")(self._frame)
        self._center, self._drop_last, self._remove_dc = (bool(how[k]) for k in ("center", "drop_last", "remove_dc"))
        self._preemphasis = float(how["preemphasis"])
        self._log, self._floor = choose(how["log"], _LOGS, "log"), float(how["floor"])
        self._range = how.get("range")
        self._mean, self._std = float(how["mean"]), float(how["std"])
        self.time_last: bool = choose(how["layout"], _LAYOUTS, "layout")
        self.frames: int | None = how.get("frames")
        self.reads = None if self.frames is None or self._center else (self.frames - 1) * self._hop + self._frame
        self.mels = int(how["mels"])
        self.filters = mel_filters(
            self.mels, self._fft, rate_hz, float(how["low_hz"]), float(how["high_hz"]),
            choose(how["scale"], SCALES, "scale"), choose(how["triangles"], _TRIANGLES, "triangles"), bool(how["area"]),
        )  # fmt: skip

    def __call__(self, waveform: NDArray[Any]) -> NDArray[np.float32]:
        """A waveform that is shorter than a frame is lengthened with zeros to one."""
        bands = self._log(np.maximum(self._power(self._framed(waveform)) @ self.filters.T, self._floor))
        if self._range is not None:
            bands = np.maximum(bands, bands.max() - self._range)
        if self.frames is not None:
            bands = bands[: self.frames]
            bands = np.pad(bands, ((0, self.frames - len(bands)), (0, 0)))
        scaled: NDArray[np.float32] = ((bands - self._mean) / self._std).astype(np.float32)
        return np.ascontiguousarray(scaled.T) if self.time_last else scaled

    def _framed(self, waveform: NDArray[Any]) -> Array:
        """[frames, frame_length], a copy."""
        samples = np.asarray(waveform, np.float64)
        if self._center:
            half = self._frame // 2
            samples = np.pad(samples, (0, max(0, half + 1 - len(samples))))  # a mirror shows no more than there is
            samples = np.pad(samples, (half, half), mode="reflect")
        samples = np.pad(samples, (0, max(0, self._frame - len(samples))))
        frames = sliding_window_view(samples, self._frame)[:: self._hop]
        kept = frames[:-1] if self._drop_last and len(frames) > 1 else frames
        return np.array(kept)

    def _power(self, frames: Array) -> Array:
        """[frames, fft_length / 2 + 1]"""
        if self._remove_dc:
            frames -= frames.mean(axis=1, keepdims=True)
        if self._preemphasis:
            before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
            frames = frames - self._preemphasis * before
        spectrum = np.fft.rfft(frames * self._window, self._fft, axis=1)
        power: Array = spectrum.real**2 + spectrum.imag**2
        return power


def mel_filters(
    mels: int, fft_length: int, rate_hz: int, low_hz: float, high_hz: float, scale: Any, straight_in_mel: bool,
    area: bool,
) -> Array:  # fmt: skip
    """[mels, fft_length / 2 + 1]: how much of each frequency of the FFT a band takes.

    scale   a pair of SCALES
    """
    to_mel, to_hz = scale
    low, high = to_mel(np.array([low_hz, high_hz], np.float64))
    edges_mel = np.linspace(low, high, mels + 2)
    edges_hz = to_hz(edges_mel)
    bins_hz = np.arange(fft_length // 2 + 1) * (rate_hz / fft_length)
    edges, bins = (edges_mel, to_mel(bins_hz)) if straight_in_mel else (edges_hz, bins_hz)
    below, centre, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters: Array = np.maximum(0.0, np.minimum((bins - below) / (centre - below), (above - bins) / (above - centre)))
    if area:
        filters = filters * (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters
