"""Eight kinds of SYNTHETIC sounds (tones, chirps, warbles, pulses, bells, clicks, noise), made here with a seed, and a
small spectrogram model that starts from random weights: no package was found that carries recordings with labels, or a
pretrained model of sounds. They show that the steps work; what a model scores on them says nothing of real recordings.

    python examples/sounds.py        write examples/data/sounds/{train,validation,test}/<kind>/NNN.wav

`small_encoder` is the model of the recipe examples/sounds.toml. Nothing is downloaded.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RATE_HZ = 16_000
SIZES = {"train": 40, "validation": 12, "test": 30}  # of each kind


def small_encoder():
    """Whisper's encoder in small (two convolutions over log-mel bands, then three blocks of width 96; 0.4 million
    weights, all random) for sounds of 1 s, and the feature extractor that goes with it."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForAudioClassification

    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=96, encoder_layers=3, encoder_attention_heads=3, encoder_ffn_dim=192, num_mel_bins=64,
        max_source_positions=50, classifier_proj_size=96, dropout=0.1,
        # 1 / sqrt(width); Whisper's own 0.02 is for its widths, and position codes would drown the sound here
        init_std=0.1,
    )  # fmt: skip
    return WhisperForAudioClassification(config), WhisperFeatureExtractor(feature_size=64, chunk_length=1)


def _phase(hertz: np.ndarray) -> np.ndarray:
    return 2 * np.pi * np.cumsum(hertz) / RATE_HZ


def _tone(t, rng):
    return np.sin(2 * np.pi * rng.uniform(300, 2000) * t)


def _rising(t, rng):
    return np.sin(_phase(rng.uniform(300, 800) + rng.uniform(1500, 3000) * t))


def _falling(t, rng):
    return np.sin(_phase(rng.uniform(3000, 4000) - rng.uniform(1500, 2800) * t))


def _warble(t, rng):
    return np.sin(_phase(rng.uniform(500, 1500) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(5, 12) * t))))


def _pulses(t, rng):
    return np.sin(2 * np.pi * rng.uniform(500, 1500) * t) * (np.sin(2 * np.pi * rng.uniform(6, 14) * t) > 0)


def _bell(t, rng):
    base = rng.uniform(300, 900)  # partials of a bell are no multiples of its lowest tone
    return sum(np.sin(2 * np.pi * base * ratio * t) * np.exp(-t * 5 * ratio) for ratio in (1, 2.76, 5.4))


def _clicks(t, rng):
    period = int(RATE_HZ / rng.uniform(8, 25))
    return np.where(np.arange(len(t)) % period < 8, 1.0, 0.0) * rng.choice([-1, 1], len(t))


def _noise(t, rng):
    return rng.normal(0, 0.4, len(t))


KINDS = {
    "tone": _tone, "rising": _rising, "falling": _falling, "warble": _warble, "pulses": _pulses, "bell": _bell,
    "clicks": _clicks, "noise": _noise,
}  # fmt: skip


def sound(kind: str, split: str, number: int) -> np.ndarray:
    """int16 [samples], 0.3 to 0.9 s; the same at every call."""
    rng = np.random.default_rng([list(KINDS).index(kind), list(SIZES).index(split), number])
    t = np.arange(int(rng.uniform(0.3, 0.9) * RATE_HZ)) / RATE_HZ
    heard = KINDS[kind](t, rng) * rng.uniform(0.1, 0.8) + rng.normal(0, rng.uniform(0.001, 0.02), len(t))
    return np.rint(np.clip(heard, -1, 1) * 32767).astype(np.int16)


def write_sounds(folder: Path) -> int:
    """One folder a split and a kind, one WAV a sound, as `edgeft tune --data` reads them; returns their number."""
    names = [(split, kind, number) for split, n in SIZES.items() for kind in KINDS for number in range(n)]
    for split, kind, number in names:
        path = folder / split / kind / f"{number:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(sound(kind, split, number).astype("<i2").tobytes())
    return len(names)


if __name__ == "__main__":
    target = HERE / "data" / "sounds"
    print(f"{write_sounds(target)} synthetic sounds in {target}")
