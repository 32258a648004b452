"""Sound files made in code, in the formats that soundfile writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def wave(seconds: float = 0.5, rate_hz: int = 16_000, hertz: float = 440.0, loudness: float = 0.5) -> np.ndarray:
    """float64 [samples]"""
    return loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)


def save(path: Path, samples: np.ndarray | None = None, rate_hz: int = 16_000, **how: object) -> Path:
    """Write `samples`, [samples] or [samples, channels]; by default half a second of a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave(rate_hz=rate_hz) if samples is None else samples, rate_hz, **how)
    return path


def class_folders(root: Path, counts: dict[str, int], rate_hz: int = 8_000) -> Path:
    """"train/high": 3 makes three tones of about 2 kHz there, "low" of about 300 Hz; every file another length."""
    for folder, n in counts.items():
        base = 2000 if folder.endswith("high") else 300
        for number in range(n):
            samples = wave(0.2 + 0.02 * number, rate_hz, base + 10 * number + len(folder))
            save(root / folder / f"{number:03}.wav", samples, rate_hz)
    return root
