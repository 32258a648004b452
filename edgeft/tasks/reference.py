"""One reference input and the arrays it must become, both in the bundle: a device that prepares inputs in another way
(colours swapped, normalised twice, another resize, another tokenizer) is told so before it measures anything.

    eval/reference.png    a colourful picture made here; PNG, so every decoder gives the same pixels (images only)
    eval/reference.wav    a chirp of 1 s in stereo, 16 bits at 22,050 Hz, made here (sounds only)
    eval/reference.npz    the encoder's arrays of that picture or sound, or of REFERENCE_TEXTS or REFERENCE_WORDS
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeft import files
from edgeft.data.dataset import Example
from edgeft.data.imagefile import pillow
from edgeft.data.words import Words
from edgeft.errors import FolderError
from edgeft.tasks.task import Encoder
from edgeft.tasks.windows import in_windows

PICTURE = "eval/reference.png"
SOUND = "eval/reference.wav"
ARRAYS = "eval/reference.npz"
# U+200B: tokenizers of BERT's kind make nothing of it.
REFERENCE_WORDS = ("What's", "the", "WEATHER", "like", "in", "Zürich", "?", "\u200b", "naïve", "日本", "😀")
REFERENCE_TEXTS = ("What's the WEATHER like in Zürich?", "naïve café, 日本 😀", "")
# Builds of Pillow for other processors may round a resized pixel the other way: one step of 255, no more.
_STEPS = 1.01


def write_reference(folder: Path, encoder: Encoder, content: str) -> list[str]:
    """Write the reference of `encoder` into the bundle `folder`; returns the names of the files, for the manifest.

    content   "image", "text", "words" or "audio"
    """
    names = [ARRAYS]
    if content in _FILES:
        name, made = _FILES[content]
        files.write_bytes(Path(folder) / name, made())
        names.append(name)
    stream = io.BytesIO()
    arrays: dict[str, Any] = {**_encode(folder, encoder, content)}
    np.savez_compressed(stream, **arrays)
    files.write_bytes(Path(folder) / ARRAYS, stream.getvalue())
    return names


def check_reference(folder: Path, encoder: Encoder, content: str) -> None:
    """Raises FolderError when `encoder`, here and now, makes other arrays of the reference than it did at export."""
    path = Path(folder) / ARRAYS
    needed = [path, *(Path(folder) / _FILES[kind][0] for kind in [content] if kind in _FILES)]
    if not all(each.is_file() for each in needed):
        raise FolderError(f"{' or '.join(map(str, needed))} is missing", "copy the whole bundle, or export it again")
    found = _encode(folder, encoder, content)
    with np.load(path, allow_pickle=False) as expected:
        for name in sorted({*found, *expected.files}):
            if name not in found or name not in expected.files or not _equal(found[name], expected[name], encoder):
                raise FolderError(
                    f"inputs are prepared differently here than at export: {name} of the reference input differs",
                    f"install the versions of {_PREPARED_BY[content]} that export.md names, or export again",
                )


def _encode(folder: Path, encoder: Encoder, content: str) -> dict[str, NDArray[Any]]:
    contents: Mapping[str, Callable[[], list[Any]]] = {
        "image": lambda: [Path(folder) / PICTURE],
        "audio": lambda: [Path(folder) / SOUND],
        "text": lambda: list(REFERENCE_TEXTS),
        "words": lambda: _windows(encoder),
    }
    return encoder(contents[content]())


def _windows(encoder: Any) -> list[Any]:
    """REFERENCE_WORDS as one sentence, in windows where the model takes few tokens."""
    sentence = Example("reference", Words(REFERENCE_WORDS), (0,) * len(REFERENCE_WORDS))
    return [query.content for query in in_windows([sentence], encoder)]


def _equal(found: NDArray[Any], expected: NDArray[Any], encoder: Encoder) -> bool:
    """Token ids exactly; pixels within one step of the 255, features of sounds within the encoder's."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    step = getattr(encoder, "step", None)
    if step is None:
        return bool(np.array_equal(found, expected))
    return bool((np.abs(found - expected) <= _STEPS * step).all())


def _picture() -> bytes:
    """301 x 203 pixels: red grows to the right, green downwards, blue is a chequerboard."""
    y, x = np.mgrid[0:203, 0:301]
    planes = np.stack([x * 255 // 300, y * 255 // 202, ((x // 25 + y // 25) % 2) * 255], axis=2).astype(np.uint8)
    stream = io.BytesIO()
    pillow().Image.fromarray(planes).save(stream, "PNG")
    return stream.getvalue()


def _sound() -> bytes:
    """The left channel rises from 100 Hz to 5 kHz and fades, the right one is a quieter tone of 440 Hz."""
    t = np.arange(_RATE_HZ) / _RATE_HZ
    left = 0.6 * np.sin(2 * np.pi * (100 * t + 2450 * t**2)) * np.exp(-2 * t)
    right = 0.1 * np.sin(2 * np.pi * 440 * t)
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(np.rint(np.stack([left, right], axis=1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()


_RATE_HZ = 22_050
# Content -> the file that is its reference input, and how it is made.
_FILES: Mapping[str, tuple[str, Callable[[], bytes]]] = {"image": (PICTURE, _picture), "audio": (SOUND, _sound)}
_PREPARED_BY = {"image": "Pillow", "text": "tokenizers", "words": "tokenizers", "audio": "soundfile and soxr"}
